"""Tests of appliance/ksn/checking.py: each step against a service that fails at it."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from appliance.ksn.asker import Unknown
from appliance.ksn.checking import Place, check
from appliance.ksn.reputation import Answer, Trouble
from appliance.ksn.zones import Zone
from tests.support.certificates import self_signed
from tests.support.misbehaving_ksn import MisbehavingKsn


class Asked:
    """A Ksn whose answer the test gives."""

    def __init__(self, outcome: Answer | Unknown, left: int | None = None) -> None:
        """left: of the quota."""
        self.outcome, self.left = outcome, left
        self.asking = self.participants = self

    async def look_up(self, *_question: object) -> Answer | Unknown:
        """Answer."""
        return self.outcome

    def allows(self, _asker: object) -> bool:
        """The gate."""
        return True

    def quota_left(self) -> int | None:
        """What the test says."""
        return self.left


KNOWN = Answer(Zone.RED, "EICAR-Test-File")


async def steps(place: Place, outcome: Answer | Unknown = KNOWN, left: int | None = None) -> dict[str, Any]:
    """The steps by name."""
    ksn: Any = Asked(outcome, left)
    asker: Any = None
    return {step.what: step for step in await check(ksn, place, asker)}


async def test_a_name_that_nobody_has() -> None:
    """Nothing further of the way is tried."""
    tried = await steps(Place("https://no-such-name.invalid/api/", ssl.create_default_context()))
    assert not tried["name"].good
    assert "ksn.endpoint" in tried["name"].said
    assert "TLS" not in tried


async def test_a_certificate_that_is_trusted_and_one_that_is_not(tmp_path: Path) -> None:
    """By the CA that is set, and by no other."""
    shown = self_signed(tmp_path, "service")
    service = MisbehavingKsn()
    await service.start(shown.server())
    try:
        trusting = ssl.create_default_context(cafile=shown.certificate)
        good = await steps(Place(service.base_url, trusting))
        bad = await steps(Place(service.base_url, ssl.create_default_context()))
    finally:
        await service.stop()
    assert good["TLS"].good
    assert good["TLS"].said.startswith("TLSv1.")
    assert not bad["TLS"].good
    assert "ksn.ca_file" in bad["TLS"].said


async def test_a_service_that_does_not_listen() -> None:
    """The place is named."""
    tried = await steps(Place("https://127.0.0.1:1/", ssl.create_default_context()))
    assert not tried["TLS"].good
    assert "127.0.0.1:1" in tried["TLS"].said


async def test_behind_a_proxy_no_name_is_looked_up() -> None:
    """The proxy does it."""
    tried = await steps(Place("https://no-such-name.invalid/", ssl.create_default_context(), proxied=True))
    assert tried["name"].good
    assert "proxy" in tried["name"].said


@pytest.mark.parametrize("why", [Trouble.REFUSED, Trouble.TIMED_OUT])
async def test_no_answer_says_why(why: Trouble) -> None:
    """Credentials that are refused are told from a service that says nothing."""
    tried = await steps(Place("http://127.0.0.1:1/", None), Unknown(why, "so it is"))
    assert not tried["credentials"].good
    assert (tried["credentials"].said == "so it is") == (why is Trouble.REFUSED)
    assert (tried["known digest"].good, tried["known digest"].said) == (False, "so it is")


@pytest.mark.parametrize(("left", "good"), [(None, True), (1, True), (0, False)])
async def test_the_quota_that_is_left(left: int | None, good: bool) -> None:
    """None at all is no good."""
    tried = await steps(Place("http://127.0.0.1:1/", None), left=left)
    assert tried["quota"].good == good
    assert tried["known digest"].said == "Red, EICAR-Test-File"


@pytest.mark.parametrize("why", [Trouble.NOT_RECORDED, Trouble.WITHDRAWN, Trouble.PAUSED])
async def test_where_the_question_was_not_sent_nothing_is(why: Trouble) -> None:
    """No name is looked up that the ledger does not account for."""
    tried = await steps(Place("https://no-such-name.invalid/", None), Unknown(why, "so it is"))
    assert [step.said for step in tried.values()][:2] == ["not tried: so it is"] * 2
