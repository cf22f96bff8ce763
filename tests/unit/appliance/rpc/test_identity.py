"""Who a caller is."""

import asyncio
import os
from pathlib import Path

import grpc
import pytest

from appliance.rpc.identity import MAX_TICKETS_PER_PROCESS, SocketInUse, TicketOffice, clear_stale_socket
from tests.support.svm import RawGuest, StreamEnded, digest_of, running_svm, until


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


async def test_a_process_has_few_tickets(tmp_path: Path) -> None:
    """A process that asks for ever more tickets gets none; others still do."""
    path = tmp_path / "svm.sock.id"
    async with TicketOffice(path, 0o600):
        held = [await asyncio.open_unix_connection(path) for _ in range(MAX_TICKETS_PER_PROCESS)]
        for reader, _ in held:
            assert len(await reader.readline()) == 33
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.readline() == b""
        for _, each in [*held, (reader, writer)]:
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
