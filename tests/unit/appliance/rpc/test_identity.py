"""Who a caller is."""

import asyncio
import os
import socket
import tempfile
from pathlib import Path
from typing import cast

import grpc
import pytest

from appliance.config_limits import Limits
from appliance.rpc.identity import (
    Callers,
    Context,
    PeerCredentials,
    SocketInUse,
    TicketBounds,
    TicketOffice,
    clear_stale_socket,
)
from tests.support.svm import DEADLINE, RawGuest, StreamEnded, digest_of, end_of, running_svm, until


async def test_the_kernel_says_whose_a_ticket_is(tmp_path: Path) -> None:
    """A ticket stands for the credentials of the process that fetched it."""
    path = tmp_path / "svm.sock.id"
    async with TicketOffice(path, 0o600) as office:
        reader, writer = await asyncio.open_unix_connection(path)
        owner = office.owner((await reader.readline()).decode().strip())
        assert owner is not None
        assert (owner.uid, owner.pid) == (os.getuid(), os.getpid())
        writer.close()


async def test_a_ticket_ends_with_its_connection(tmp_path: Path) -> None:
    """Who hangs up on the companion socket is nobody any more."""
    path = tmp_path / "svm.sock.id"
    async with TicketOffice(path, 0o600) as office:
        reader, writer = await asyncio.open_unix_connection(path)
        ticket = (await reader.readline()).decode().strip()
        assert office.owner(ticket) is not None
        writer.close()
        await until(lambda: office.owner(ticket) is None, "the ticket is void")


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
    ],
)
async def test_a_guest_on_tcp_is_named_by_its_address(peer: str, name: str) -> None:
    """As people write it, and as `svm guests` takes it."""
    callers, context = Callers(None), cast(Context, Connection(peer))
    assert (await callers.guest(context)).id == f"ip-{name}"
    assert callers.name(context) == name


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (TicketBounds(of_process=3), f"too many callers in process {os.getpid()}: it has 3 tickets"),
        (TicketBounds(of_user=3), f"too many callers of user {os.getuid()}: 3 tickets are all"),
        (TicketBounds(of_all=3), "too many callers: 3 tickets are all that there are (limits.max_tickets)"),
    ],
    ids=["process", "user", "all"],
)
async def test_tickets_are_bounded(tmp_path: Path, bounds: TicketBounds, why: str) -> None:
    """Over a bound a sentence comes instead of a ticket, and is told; a place that is free is given anew."""
    path = tmp_path / "svm.sock.id"
    told: list[tuple[str, str]] = []
    async with TicketOffice(
        path, 0o600, bounds, lambda who, sentence: told.append((who, sentence))
    ) as office:
        held = [await asyncio.open_unix_connection(path) for _ in range(3)]
        tickets = [(await reader.readline()).decode().strip() for reader, _ in held]
        assert len(set(map(office.owner, tickets))) == 3
        assert why in (await ticket_of(path)).decode()
        [(who, sentence)] = told
        assert who == f"uid-{os.getuid()}.pid-{os.getpid()}"
        assert why in sentence
        held[1][1].close()
        await until(lambda: office.owner(tickets[1]) is None, "a ticket is given back")
        assert len(await ticket_of(path)) == 33
        for _, writer in held:
            writer.close()


async def ticket_of(path: Path) -> bytes:
    """What a new caller is told, before it hangs up again."""
    reader, writer = await asyncio.open_unix_connection(path)
    said = await reader.readline()
    writer.close()
    return said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
async def test_a_user_with_many_tickets_does_not_shut_out_others() -> None:
    """The bound of a user is his own: somebody else still gets a ticket."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as other:
        os.chmod(directory, 0o711)
        path = Path(directory, "svm.sock.id")
        async with TicketOffice(path, 0o666, TicketBounds(of_user=1)) as office:
            reader, writer = await asyncio.open_unix_connection(path)
            assert len(await reader.readline()) == 33
            assert b"too many callers of user 0" in await ticket_of(path)
            os.seteuid(65534)
            try:
                other.connect(os.fspath(path))  # the kernel keeps who it was that connected
            finally:
                os.seteuid(0)
            other.setblocking(False)
            said = await asyncio.get_running_loop().sock_recv(other, 100)
            owner = office.owner(said.decode().strip())
            assert owner is not None
            assert owner.uid == 65534
            writer.close()


async def test_a_ticket_is_to_be_used_soon(tmp_path: Path) -> None:
    """Who takes one and calls nobody loses it, and his place; a ticket that was used counts on."""
    path = tmp_path / "svm.sock.id"
    async with TicketOffice(path, 0o600, TicketBounds(of_process=2, first_call_seconds=1)) as office:
        reader, writer = await asyncio.open_unix_connection(path)
        used = (await reader.readline()).decode().strip()
        owner = office.owner(used)
        assert owner is not None
        idle_reader, idle_writer = await asyncio.open_unix_connection(path)
        idle = (await idle_reader.readline()).decode().strip()
        assert await asyncio.wait_for(idle_reader.read(), DEADLINE) == b""
        assert office.owner(idle) is None
        assert office.owner(used) == owner
        assert len(await ticket_of(path)) == 33
        for each in (writer, idle_writer):
            each.close()


@pytest.mark.parametrize("ticket", [None, "", "0" * 32, "x" * 5000, "../../etc"])
async def test_a_call_without_a_ticket_that_counts_is_refused(tmp_path: Path, ticket: str | None) -> None:
    """Nobody vouches for the caller: UNAUTHENTICATED, and the sentence says how to get a ticket."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        guest.metadata = () if ticket is None else (("ticket", ticket),)
        with pytest.raises(StreamEnded) as ended:
            await guest.ask(digest_of(b"x"))
        assert ended.value.status is grpc.StatusCode.UNAUTHENTICATED
        assert "companion socket" in ended.value.sentence


async def test_the_end_of_a_ticket_is_told(tmp_path: Path) -> None:
    """Whose ticket it was, once."""
    path = tmp_path / "svm.sock.id"
    ended: list[PeerCredentials] = []
    async with TicketOffice(path, 0o600, on_end=ended.append) as office:
        reader, writer = await asyncio.open_unix_connection(path)
        owner = office.owner((await reader.readline()).decode().strip())
        assert ended == []
        writer.close()
        await until(lambda: ended == [owner], "the end is told")


async def test_a_session_ends_with_its_ticket(tmp_path: Path) -> None:
    """So do its calls: a user cannot gather sessions by giving tickets back."""
    async with running_svm(tmp_path, Limits(tickets_per_user=1)) as svm, RawGuest.connect(svm) as guest:
        await guest.ask(digest_of(b"x"))
        guest.ticket.close()
        ended = await end_of(guest.attach)
        assert ended.status is grpc.StatusCode.UNAUTHENTICATED
        assert "companion connection" in ended.sentence
        assert (await end_of(guest.check)).status is grpc.StatusCode.FAILED_PRECONDITION
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


async def test_a_socket_that_nobody_listens_on_is_cleared(tmp_path: Path) -> None:
    """What a killed SVM left behind does not stop the next one."""
    path = tmp_path / "s"
    server = await asyncio.start_unix_server(lambda _reader, _writer: None, path=path)
    with pytest.raises(SocketInUse, match="another svm"):
        clear_stale_socket(path)
    server.close()
    await server.wait_closed()
    if not path.exists():  # Python 3.13 and later unlink it
        return
    clear_stale_socket(path)
    assert not path.exists()


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    """What is no socket is not removed."""
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(SocketInUse, match="no socket"):
        clear_stale_socket(path)
    assert path.read_text() == "precious"
