"""Who a caller is."""

from pathlib import Path
from typing import cast

import grpc
import pytest

from appliance.config_limits import Limits
from appliance.rpc.identity import Context, address_of
from tests.support.svm import RawGuest, StreamEnded, digest_of, end_of, running_svm, until


class Connection:
    """A call of which only the other end is known."""

    def __init__(self, peer: str) -> None:
        """peer: as gRPC names it."""
        self._peer = peer

    def peer(self) -> str:
        """Who is at the other end."""
        return self._peer


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("ipv4:192.0.2.7:5000", "192.0.2.7"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:5000", "fe80::1%eth0"),
        ("ipv6:[2001:db8::7]:5000", "2001:db8::7"),
        ("unix:", ""),
    ],
)
def test_an_address_is_read_as_people_write_it(peer: str, name: str) -> None:
    """However gRPC does; on a unix socket there is none."""
    assert address_of(cast(Context, Connection(peer))) == name


@pytest.mark.parametrize("ticket", [None, "", "0" * 32, "x" * 5000, "../../etc"])
async def test_a_call_without_a_ticket_that_counts_is_refused(tmp_path: Path, ticket: str | None) -> None:
    """Nobody vouches for the caller: UNAUTHENTICATED, and the sentence says how to get a ticket."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        guest.metadata = () if ticket is None else (("ticket", ticket),)
        with pytest.raises(StreamEnded) as ended:
            await guest.ask(digest_of(b"x"))
        assert ended.value.status is grpc.StatusCode.UNAUTHENTICATED
        assert "companion socket" in ended.value.sentence


async def test_a_session_ends_with_its_ticket(tmp_path: Path) -> None:
    """So do its calls: a user cannot gather sessions by giving tickets back."""
    async with running_svm(tmp_path, Limits(tickets_per_user=1)) as svm, RawGuest.connect(svm) as guest:
        await guest.ask(digest_of(b"x"))
        guest.ticket.close()
        ended = await end_of(guest.attach)
        assert ended.status is grpc.StatusCode.UNAUTHENTICATED
        assert "companion connection" in ended.sentence
        assert (await end_of(guest.check)).status is grpc.StatusCode.UNAUTHENTICATED
        assert svm.parts.sessions.all() == []
        async with RawGuest.connect(svm):
            assert len(svm.parts.sessions.all()) == 1


async def test_an_attach_that_says_nothing_ends_with_its_ticket(tmp_path: Path) -> None:
    """Also before Hello nobody is left who could become a session without a ticket."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        attach = guest.stub.Attach(metadata=guest.metadata)
        await until(lambda: bool(svm.parts.sessions.greeting), "the SVM waits for Hello")
        guest.ticket.close()
        assert (await end_of(attach)).status is grpc.StatusCode.UNAUTHENTICATED


async def test_a_guest_that_goes_in_two_ways_at_once_leaves_no_session(tmp_path: Path) -> None:
    """The end of its connection and that of its ticket, in whichever order, end the session together."""
    async with running_svm(tmp_path) as svm:
        for number in range(20):
            async with RawGuest.connect(svm) as guest:
                if number % 2:
                    guest.attach.cancel()
                guest.ticket.close()
                guest.attach.cancel()
        await until(lambda: not svm.parts.sessions.all(), "no session is left")
