"""The socket of a machine's channel, on which QEMU listens: one program of the host holds it at a time."""

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

CONNECT_SECONDS = 5.0
SEND_SECONDS = 5.0
CHUNK_BYTES = 16 * 1024


class ChannelError(Exception):
    """The channel cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Channel:
    """An open one."""

    socket: socket.socket

    async def receive(self, seconds: float | None = None) -> bytes:
        """Some bytes that the machine has sent; b"" when QEMU is gone.

        Raises TimeoutError where there were none within so many seconds.
        """
        async with asyncio.timeout(seconds):
            try:
                return await asyncio.get_running_loop().sock_recv(self.socket, CHUNK_BYTES)
            except OSError:
                return b""

    async def send(self, line: bytes) -> None:
        """Send it. Raises ChannelError where the machine takes nothing, or QEMU is gone."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.get_running_loop().sock_sendall(self.socket, line)
        except TimeoutError:
            raise ChannelError(
                f"the machine takes nothing of what is sent within {SEND_SECONDS:g} s"
            ) from None
        except OSError as error:
            raise ChannelError(f"its QEMU took nothing: {error.strerror}") from error


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Channel]:
    """A machine's channel by the path of its socket, nobody else's meanwhile. Raises ChannelError."""
    directory = _held(path)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.setblocking(False)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(connection, str(path))
            except TimeoutError:
                raise ChannelError(
                    f"{path}: QEMU did not answer within {CONNECT_SECONDS:g} s: something else holds it"
                ) from None
            except OSError as error:
                raise ChannelError(f"{path}: {error.strerror}: is its machine still running?") from error
            yield Channel(connection)
    finally:
        os.close(directory)


def _held(path: Path) -> int:
    """The directory of a socket, which is this machine's alone, locked. QEMU would let a second one wait."""
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ChannelError(
            f"{path.parent}: {error.strerror}: svm-host has to run on the host itself, as root"
        ) from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(directory)
        raise ChannelError(
            "another svm-host attends to its channel: end that one, or leave it to it"
        ) from None
    return directory
