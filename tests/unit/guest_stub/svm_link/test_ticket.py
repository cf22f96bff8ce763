"""Tests of fetching a ticket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guest_stub.svm_link.ticket import NoTicket, fetch

DEADLINE = 30.0
TICKET = b"0123456789abcdef0123456789abcdef"

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def companion(directory: Path, speak: Speak) -> AsyncIterator[str]:
    """A companion socket; gives the path of the socket that it is the companion of."""
    server = await asyncio.start_unix_server(speak, directory / "svm.sock.id")
    try:
        yield str(directory / "svm.sock")
    finally:
        server.close()
        await server.wait_closed()


def saying(*parts: bytes) -> Speak:
    """A companion that says these parts one by one and hangs up."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.close()

    return speak


async def test_a_ticket_counts_until_it_is_closed(tmp_path: Path) -> None:
    """The connection stays open until the ticket is given back."""
    gone = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(TICKET + b"\n")
        assert await reader.read() == b""
        gone.set()
        writer.close()

    async with companion(tmp_path, speak) as path, asyncio.timeout(DEADLINE):
        ticket = await fetch(path)
        assert ticket.text == TICKET.decode()
        assert not gone.is_set()
        ticket.close()
        await gone.wait()


async def test_a_ticket_may_come_in_parts(tmp_path: Path) -> None:
    """A line that arrives in two pieces is put together."""
    async with companion(tmp_path, saying(TICKET[:5], TICKET[5:] + b"\n")) as path:
        ticket = await fetch(path)
    assert ticket.text == TICKET.decode()
    ticket.close()


@pytest.mark.parametrize(
    "answer", [b"", TICKET, TICKET[:10] + b"\n", b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", b"Z" * 33]
)
async def test_what_is_no_ticket_is_refused(tmp_path: Path, answer: bytes) -> None:
    """Any other answer raises a sentence that names the socket."""
    async with companion(tmp_path, saying(answer)) as path:
        with pytest.raises(NoTicket, match=r"svm\.sock\.id: answered .* is this an SVM's socket"):
            await fetch(path)


async def test_no_companion_socket_says_what_to_do(tmp_path: Path) -> None:
    """Without an SVM the sentence asks whether it runs."""
    with pytest.raises(NoTicket, match="No such file or directory: is the SVM running"):
        await fetch(str(tmp_path / "svm.sock"))


async def test_a_silent_companion_leaves_the_deadline_to_the_caller(tmp_path: Path) -> None:
    """A caller's time limit ends the wait, and closes the connection."""
    hung_up = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        hung_up.set()
        writer.close()

    async with companion(tmp_path, speak) as path, asyncio.timeout(DEADLINE):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetch(path), 0.05)
        await hung_up.wait()
