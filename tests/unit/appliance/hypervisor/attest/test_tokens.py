"""Tokens of a real register, asked for as `svm-host` asks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from appliance.domain.caller import Caller, Role
from appliance.hypervisor.attest.conversation import NoToken
from appliance.hypervisor.attest.tokens import TOKEN_SECONDS, Machine, Tokens
from appliance.identity.ending import By
from appliance.identity.issuing import TokenRefused
from appliance.identity.keys import key_sha256, new_key
from appliance.rpc.admin_client import AdminClient, AdminError
from tests.support.identities import PROVIDER, UUID, asked
from tests.support.identity_side_server import IdentitySide, identity_side

T = TypeVar("T")
KEY = new_key()
KEY_SHA256 = key_sha256(KEY.public_key())


class Line:
    """The way to a real SVM. problem: why there is none."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problem = ""

    async def ask(self, call: Callable[[AdminClient], T]) -> T:
        """What a call gives."""
        if self.problem:
            raise AdminError(self.problem)
        with AdminClient(self.path) as client:
            return call(client)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[IdentitySide]:
    """An SVM, whose caller is a host agent."""
    with identity_side(tmp_path) as running:
        running.caller = Caller("host-1", Role.HOST_AGENT)
        yield running


def tokens(side: IdentitySide, clock: Callable[[], float] = lambda: 0.0) -> tuple[Tokens, Line]:
    """What asks it."""
    line = Line(str(side.path))
    return Tokens(line, clock=clock), line


async def test_a_token_is_for_the_machine_and_its_key(side: IdentitySide) -> None:
    """Taken to another machine, which has another key, it is refused."""
    offer = await tokens(side)[0].offer(Machine(UUID), KEY_SHA256)
    assert (offer.guest, offer.svm, offer.enrolment) == (UUID, "192.0.2.1:7443", "192.0.2.1:7444")
    assert offer.fingerprint == side.office.authority.sha256
    with pytest.raises(TokenRefused):
        side.office.issuer.enrol(offer.token, asked())
    assert side.office.issuer.enrol(offer.token, asked(key=KEY)).guest.uuid == UUID


async def test_an_answer_that_was_lost_is_given_once_more(side: IdentitySide) -> None:
    """For the same key, while its token lives: the SVM gives no other for a guest that has a certificate."""
    now = 0.0
    desk, _ = tokens(side, lambda: now)
    offer = await desk.offer(Machine(UUID), KEY_SHA256)
    certificate = side.office.issuer.enrol(offer.token, asked(key=KEY)).certificate
    again = await desk.offer(Machine(UUID), KEY_SHA256)
    assert side.office.issuer.enrol(again.token, asked(key=KEY)).certificate == certificate
    with pytest.raises(NoToken, match="a host agent takes no guest's place"):
        await desk.offer(Machine(UUID), b"o" * 32)
    now = TOKEN_SECONDS
    with pytest.raises(NoToken, match="a host agent takes no guest's place"):
        await desk.offer(Machine(UUID), KEY_SHA256)


async def test_who_was_revoked_comes_back_by_order_alone(side: IdentitySide) -> None:
    """Else a revocation would hold for as long as it takes to ask."""
    side.office.enrolled("default", UUID)
    side.office.ender.revoke_guest(UUID, By(PROVIDER))
    desk, _ = tokens(side)
    with pytest.raises(NoToken, match="does not come back by itself"):
        await desk.offer(Machine(UUID), KEY_SHA256)
    assert (await desk.offer(Machine(UUID, by_order=True), KEY_SHA256)).token


async def test_an_svm_that_is_away_is_a_sentence(side: IdentitySide) -> None:
    """Its own, or that of the line to it."""
    desk, line = tokens(side)
    line.problem = "no SVM answers"
    with pytest.raises(NoToken, match="no SVM answers"):
        await desk.offer(Machine(UUID), KEY_SHA256)
    line.problem = ""
    with pytest.raises(NoToken, match="no tenant nobodys is known"):
        await desk.offer(Machine(UUID, "nobodys"), KEY_SHA256)


@pytest.mark.parametrize(
    ("doors", "address", "told"),
    [
        (("", "192.0.2.1:7443"), "", "set server.enrolment of the SVM"),
        (("192.0.2.1:7444", ""), "", "set server.listen of the SVM"),
        ((":7444", ":7443"), "", "give it to svm init as --address"),
        ((":7444", ":7443"), "192.0.2.9", ("192.0.2.9:7443", "192.0.2.9:7444")),
        ((":7444", ":7443"), "fd00::9", ("[fd00::9]:7443", "[fd00::9]:7444")),
        (("svm:7444", ":7443"), "192.0.2.9", ("192.0.2.9:7443", "svm:7444")),
    ],
)
async def test_where_guests_go_is_the_svms_word_or_the_settings(
    tmp_path: Path, doors: tuple[str, str], address: str, told: str | tuple[str, str]
) -> None:
    """One of both has to know it, or nothing is handed out."""
    with identity_side(tmp_path, doors) as side:
        desk = Tokens(Line(str(side.path)), address)
        if isinstance(told, str):
            with pytest.raises(NoToken, match=told):
                await desk.offer(Machine(UUID), KEY_SHA256)
        else:
            offer = await desk.offer(Machine(UUID), KEY_SHA256)
            assert (offer.svm, offer.enrolment) == told
