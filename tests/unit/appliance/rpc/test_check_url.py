"""CheckUrl within the bounds of one guest; over real gRPC in tests/integration/test_ksn_web.py."""

import asyncio

import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.config_limits import Limits
from appliance.domain.guest import Guest
from appliance.domain.outcome import Source
from appliance.domain.web import Matched, UrlAnswer, UrlOutcome
from appliance.rpc.calls import Breach, Refused
from appliance.rpc.check_url import UrlQuestions, nobody_knows, url_reply

GUEST = Guest("g")
LIMITS = Limits(urls_per_second=4, open_urls=2)


def request(url: str = "http://x.com/", budget: float | None = None) -> bytes:
    """A request as it comes."""
    message = guest_pb2.CheckUrlRequest(url=url)
    if budget is not None:
        message.budget.FromNanoseconds(int(budget * 1e9))
    return message.SerializeToString()


def test_every_outcome_has_its_number_on_the_wire() -> None:
    """By name and by number, but for zero."""
    ours = {f"URL_OUTCOME_{outcome.name}": int(outcome) for outcome in UrlOutcome}
    assert {"URL_OUTCOME_UNSPECIFIED": 0, **ours} == dict(guest_pb2.UrlOutcome.items())


def test_all_that_is_said_goes_over_the_wire() -> None:
    """A long reason is cut."""
    reply = url_reply(
        UrlAnswer(UrlOutcome.SUSPICIOUS, "T", "C", Matched.HOST, Source.KSN, 1.5, reason="é" * 600)
    )
    assert (reply.outcome, reply.threat, reply.category) == (guest_pb2.URL_OUTCOME_SUSPICIOUS, "T", "C")
    assert (reply.matched, reply.source) == ("host", verdict_pb2.SOURCE_KSN)
    assert (reply.valid_for.seconds, reply.valid_for.nanos) == (1, 500_000_000)
    assert reply.reason == "é" * 256
    assert not url_reply(UrlAnswer(UrlOutcome.UNKNOWN)).HasField("valid_for")


async def test_by_default_nobody_knows() -> None:
    """Which is not clean."""
    reply = await UrlQuestions(nobody_knows, lambda: 0.0, LIMITS).answer(GUEST, request())
    assert reply.outcome == guest_pb2.URL_OUTCOME_UNKNOWN
    assert reply.reason


@pytest.mark.parametrize(("given", "had"), [(None, 10.0), (0.0, 0.0), (-1.0, 0.0), (2.5, 2.5), (900.0, 60.0)])
async def test_budgets_are_bounded(given: float | None, had: float) -> None:
    """Absent is the usual one."""
    budgets: list[float] = []

    async def check(_guest: Guest, _url: str, budget: float) -> UrlAnswer:
        budgets.append(budget)
        return UrlAnswer(UrlOutcome.UNKNOWN)

    await UrlQuestions(check, lambda: 0.0, LIMITS).answer(GUEST, request(budget=given))
    assert budgets == [had]


@pytest.mark.parametrize("said", [b"\xff", request(""), request("x" * 8193), b"\x0a\x01\xff"])
async def test_what_breaks_a_rule_is_refused(said: bytes) -> None:
    """No message, no address, too long a one, no text."""
    with pytest.raises(Breach):
        await UrlQuestions(nobody_knows, lambda: 0.0, LIMITS).answer(GUEST, said)


async def test_a_guest_has_so_many_turns_in_a_second() -> None:
    """Another guest has its own."""
    questions = UrlQuestions(nobody_knows, lambda: 0.0, LIMITS)
    for _ in range(4):
        await questions.answer(GUEST, request())
    with pytest.raises(Refused, match="4 times in a second"):
        await questions.answer(GUEST, request())
    await questions.answer(Guest("other"), request())


async def test_a_guest_has_so_many_questions_open() -> None:
    """One that ends makes room, also where its caller went away."""
    never = asyncio.Event()

    async def check(_guest: Guest, _url: str, _budget: float) -> UrlAnswer:
        await never.wait()
        return UrlAnswer(UrlOutcome.UNKNOWN)

    questions = UrlQuestions(check, lambda: 0.0, LIMITS)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(questions.answer(GUEST, request())) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="2 web addresses open"):
            await questions.answer(GUEST, request())
        tasks[0].cancel()
        await asyncio.sleep(0)
        never.set()
        assert (await questions.answer(GUEST, request())).outcome == guest_pb2.URL_OUTCOME_UNKNOWN
