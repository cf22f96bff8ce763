"""Who a caller is: the one place where a connection becomes a Guest or an administrator.

On a unix socket it is the peer's credentials. gRPC for Python does not hand those out, so the
kernel names the caller on a companion socket `<path>.id`: whoever connects there gets a ticket of
32 hexadecimal digits and a newline, sends it as metadata `ticket` with every call, and keeps the
companion connection open for as long as the ticket is to count (docs/decisions/0003).

On TCP it is the peer's address, for a network that only guests of this host are on. Certificates
take its place as the identity there.
"""

import asyncio
import os
import re
import secrets
import socket
import struct
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from appliance.domain.guest import Guest

MAX_TICKETS = 4096
MAX_TICKETS_PER_PROCESS = 8
_UCRED = struct.Struct("3i")
_TICKET = re.compile(r"[0-9a-f]{32}")
_TCP_PEER = re.compile(r"ipv[46]:(?P<host>.+):\d+")

Context = grpc.aio.ServicerContext[Any, Any]


class SocketInUse(Exception):
    """Another process listens on the path, or something that is no socket lies there."""


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Who is at the other end of a unix socket, as the kernel says it.

    link: which of the process's tickets, from 1; each is a caller of its own.
    """

    uid: int
    gid: int
    pid: int
    link: int = 1

    def __str__(self) -> str:
        name = f"uid-{self.uid}.pid-{self.pid}"
        return name if self.link == 1 else f"{name}.{self.link}"


def clear_stale_socket(path: Path) -> None:
    """Make way for a new listener at `path`: remove a socket that nobody listens on.

    Raises SocketInUse where somebody does, or where `path` is no socket.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_socket():
        raise SocketInUse(f"{path} is no socket: move it away, or listen elsewhere")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise SocketInUse(f"{path} cannot be examined: {error.strerror or error}") from error
    raise SocketInUse(f"{path} is in use: another svm serves there; stop it, or listen elsewhere")


class TicketOffice:
    """Hands out tickets on `<path>.id` and says whose a ticket is."""

    def __init__(self, path: Path, mode: int) -> None:
        """Listen at `path` with the file mode `mode`, once started."""
        self._path = path
        self._mode = mode
        self._owners: dict[str, PeerCredentials] = {}
        self._links: defaultdict[int, set[int]] = defaultdict(set)  # pid -> its links
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        clear_stale_socket(self._path)
        self._server = await asyncio.start_unix_server(self._serve, path=self._path, backlog=128)
        self._path.chmod(self._mode)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._connections):
            writer.close()
        self._path.unlink(missing_ok=True)

    def owner(self, ticket: str) -> PeerCredentials | None:
        """Who holds the ticket; None when it does not count (any more)."""
        return self._owners.get(ticket)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        link = self._free_link(pid)
        if link is None:
            writer.close()  # the caller reads an end of file instead of a ticket
            return
        ticket = secrets.token_hex(16)
        self._owners[ticket] = PeerCredentials(uid, gid, pid, link)
        self._links[pid].add(link)
        self._connections.add(writer)
        try:
            writer.write(f"{ticket}\n".encode())
            await reader.read(1)  # returns at the end of the connection; nothing is ever sent to us
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._connections.discard(writer)
            del self._owners[ticket]
            self._links[pid].discard(link)
            if not self._links[pid]:
                del self._links[pid]
            writer.close()

    def _free_link(self, pid: int) -> int | None:
        """The lowest number that no ticket of the process has; None when it gets no more tickets."""
        if len(self._owners) >= MAX_TICKETS:
            return None
        taken = self._links.get(pid, set())
        return next((link for link in range(1, MAX_TICKETS_PER_PROCESS + 1) if link not in taken), None)


class Callers:
    """Turns a call's context into who calls."""

    def __init__(self, office: TicketOffice | None) -> None:
        """office: of the unix socket that is served; None where the service listens on TCP."""
        self._office = office

    async def guest(self, context: Context) -> Guest:
        """The guest that calls; ends the call with UNAUTHENTICATED where nobody vouches for it."""
        if self._office is not None:
            return Guest(id=str(await self.credentials(context)))
        match = _TCP_PEER.fullmatch(context.peer())
        if match is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the connection has no address to go by")
            raise AssertionError  # abort raises
        return Guest(id=f"ip-{match['host']}")

    async def credentials(self, context: Context) -> PeerCredentials:
        """The peer's credentials; ends the call with UNAUTHENTICATED without a ticket that counts."""
        metadata: Mapping[str, str | bytes] = dict(context.invocation_metadata() or ())
        ticket = metadata.get("ticket", "")
        owner = None
        if self._office is not None and isinstance(ticket, str) and _TICKET.fullmatch(ticket):
            owner = self._office.owner(ticket)
        if owner is None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "no ticket that counts: connect to the companion socket <path>.id, keep that connection "
                "open, and send the line it gives as metadata `ticket`",
            )
            raise AssertionError  # abort raises
        return owner
