"""Who we are, on a unix socket: a ticket, handed to a process whose credentials the kernel names.

The companion socket of `<path>` is `<path>.id`. The ticket counts while the connection it came by is open.
"""

import asyncio
import re
import socket
from dataclasses import dataclass

_TICKET_BYTES = 32
_HEX = re.compile(rb"[0-9a-f]{32}\n")


class NoTicket(Exception):
    """The companion socket does not answer, or not with a ticket."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """text: 32 hexadecimal digits for the metadata key "ticket". Counts until close()."""

    text: str
    connection: socket.socket

    def close(self) -> None:
        """Give the ticket back."""
        self.connection.close()


async def fetch(path: str) -> Ticket:
    """Ask the companion socket of `path` for a ticket; the caller sets the deadline. Raises NoTicket."""
    companion = path + ".id"
    connection = socket.socket(
        socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    )
    try:
        line = await _read_line(connection, companion)
    except OSError as error:
        connection.close()
        raise NoTicket(
            f"{companion}: {error.strerror or error}: is the SVM running, and may this user connect to it?"
        ) from error
    except BaseException:
        connection.close()
        raise
    if not _HEX.fullmatch(line):
        connection.close()
        raise NoTicket(f"{companion}: answered {line[:40]!r}, which is no ticket: is this an SVM's socket?")
    return Ticket(line[:_TICKET_BYTES].decode(), connection)


async def _read_line(connection: socket.socket, companion: str) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, companion)
    line = b""
    while len(line) <= _TICKET_BYTES:
        part = await loop.sock_recv(connection, _TICKET_BYTES + 1 - len(line))
        if not part:
            break
        line += part
    return line
