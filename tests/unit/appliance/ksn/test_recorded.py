"""Tests of appliance/ksn/recorded.py, with a ledger that the test can have fail."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from appliance.domain.policy import KsnType, Mode
from appliance.ksn.asker import Asker, Disclosure, Unknown
from appliance.ksn.recorded import Recorded
from appliance.ksn.reputation import Answer, ReputationError, Trouble
from appliance.ksn.statement import changes_since
from appliance.ksn.zones import Zone

ASKER = Asker(16, "default", "guest", KsnType.PRIVATE, Mode.STANDARD, 1)
REQUEST = changes_since(0, 1, Mode.STANDARD)


class Bench:
    """A ledger and a gate. did: what happened, in its order."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.fails = False
        self.allowed = True
        self.recorded = Recorded("service", self)

    async def before(self, disclosure: Disclosure) -> int:
        """As the ledger has it."""
        if self.fails:
            raise OSError("the disk is full")
        self.did.append(f"written: {disclosure.service}")
        return 7

    def after(self, number: int, result: str) -> None:
        """As the ledger has it."""
        self.did.append(f"{number}: {result}")

    def may_go(self) -> bool:
        """The gate."""
        self.did.append("asked whether it may go")
        return self.allowed

    async def exchange(self, outcome: Coroutine[Any, Any, Answer | None]) -> Answer | Unknown | None:
        """Do it."""
        try:
            return await self.recorded.exchange(ASKER, REQUEST, lambda: outcome, self.may_go)
        finally:
            outcome.close()


async def answers(answer: Answer | None) -> Answer | None:
    """Say that."""
    return answer


async def fails(error: BaseException) -> Answer | None:
    """Raise that."""
    raise error


@pytest.mark.parametrize(
    ("answer", "result"), [(Answer(Zone.NOT_FOUND), Zone.NOT_FOUND.value), (None, "taken")]
)
async def test_it_is_written_down_before_it_goes_out(answer: Answer | None, result: str) -> None:
    """And how it ended, after."""
    bench = Bench()
    assert await bench.exchange(answers(answer)) == answer
    assert bench.did == ["written: service", "asked whether it may go", f"7: {result}"]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (ReputationError(Trouble.QUOTA, "too much"), Trouble.QUOTA.value),
        (ZeroDivisionError(), Trouble.FAULT.value),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
async def test_every_end_is_noted(error: BaseException, result: str) -> None:
    """Also that by a fault of this program, and by us."""
    bench = Bench()
    with pytest.raises(type(error)):
        await bench.exchange(fails(error))
    assert bench.did == ["written: service", "asked whether it may go", f"7: {result}"]


async def test_nothing_goes_out_that_could_not_be_written_down() -> None:
    """It is told why."""
    bench = Bench()
    bench.fails = True
    outcome = await bench.exchange(answers(None))
    assert isinstance(outcome, Unknown)
    assert (outcome.why, bench.did) == (Trouble.NOT_RECORDED, [])


async def test_nothing_goes_out_that_was_forbidden_meanwhile() -> None:
    """It stands in the ledger that we ended it ourselves."""
    bench = Bench()
    bench.allowed = False
    outcome = await bench.exchange(answers(None))
    assert isinstance(outcome, Unknown)
    assert (outcome.why, bench.did) == (
        Trouble.WITHDRAWN,
        ["written: service", "asked whether it may go", "7: cancelled"],
    )
