"""Tickets."""

import asyncio
import os
import socket
import tempfile
from pathlib import Path

import pytest

from appliance.rpc.tickets import (
    Listener,
    PeerCredentials,
    SocketInUse,
    TicketBounds,
    TicketOffice,
    clear_stale_socket,
)
from tests.support.svm import DEADLINE, until


class Listening(Listener):
    """Keeps what it is told, and refuses whom the test wants."""

    def __init__(self, refused: int = -1) -> None:
        """refused: a user."""
        self.told: list[tuple[str, str]] = []
        self.owners: list[PeerCredentials] = []
        self._refused = refused

    def why_none(self, owner: PeerCredentials) -> str:
        """Whoever the test refuses."""
        return "not you" if owner.uid == self._refused else ""

    def refused(self, who: str, why: str) -> None:
        """Keep it."""
        self.told.append((who, why))

    def ended(self, owner: PeerCredentials) -> None:
        """Keep it."""
        self.owners.append(owner)


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
    listener = Listening()
    async with TicketOffice(path, 0o600, bounds, listener) as office:
        held = [await asyncio.open_unix_connection(path) for _ in range(3)]
        tickets = [(await reader.readline()).decode().strip() for reader, _ in held]
        assert len(set(map(office.owner, tickets))) == 3
        assert why in (await ticket_of(path)).decode()
        [(who, sentence)] = listener.told
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


async def test_the_end_of_a_ticket_is_told(tmp_path: Path) -> None:
    """Whose ticket it was, once."""
    path = tmp_path / "svm.sock.id"
    listener = Listening()
    async with TicketOffice(path, 0o600, listener=listener) as office:
        reader, writer = await asyncio.open_unix_connection(path)
        owner = office.owner((await reader.readline()).decode().strip())
        assert listener.owners == []
        writer.close()
        await until(lambda: listener.owners == [owner], "the end is told")


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


async def test_who_is_refused_gets_no_ticket(tmp_path: Path) -> None:
    """He reads why, takes nobody's place, and it is told."""
    path, listener = tmp_path / "svm.sock.id", Listening(refused=os.getuid())
    async with TicketOffice(path, 0o600, listener=listener):
        assert await ticket_of(path) == b"not you\n"
    assert listener.told == [(f"uid-{os.getuid()}.pid-{os.getpid()}", "not you")]


async def test_the_groups_of_a_caller_are_known(tmp_path: Path) -> None:
    """The supplementary ones too, as the kernel has them."""
    path = tmp_path / "svm.sock.id"
    async with TicketOffice(path, 0o600) as office:
        reader, writer = await asyncio.open_unix_connection(path)
        owner = office.owner((await reader.readline()).decode().strip())
        assert owner is not None
        assert owner.gid == os.getgid()
        assert owner.groups == frozenset(os.getgroups())
        writer.close()
