"""Who a caller is: the one place where a connection becomes a Guest or an administrator.

On a unix socket it is the peer's credentials. gRPC for Python does not hand those out, so the
kernel names the caller on a companion socket `<path>.id`: whoever connects there gets a ticket of
32 hexadecimal digits and a newline, sends it as metadata `ticket` with every call, and keeps the
companion connection open for as long as the ticket is to count (docs/decisions/0003). Tickets are
bounded; who gets none reads a sentence instead. A ticket that is not used soon counts no more.

On TCP it is the peer's address, for a network that only guests of this host are on. Certificates
take its place as the identity there.
"""

import asyncio
import itertools
import os
import re
import secrets
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import grpc

from appliance.domain.guest import Guest

_UCRED = struct.Struct("3i")
_TICKET = re.compile(r"[0-9a-f]{32}")
_SESSION = re.compile(r"[0-9a-f]{16}")
_TCP_PEER = re.compile(r"ipv[46]:(?P<host>.+):\d+")

Context = grpc.aio.ServicerContext[Any, Any]


def session_name(context: Context) -> str:
    """Which of the guest's sessions a call belongs to: what it drew for itself, "" where it says none."""
    name = _metadata(context).get("session", "")
    return name if isinstance(name, str) and _SESSION.fullmatch(name) else ""


def _metadata(context: Context) -> Mapping[str, str | bytes]:
    return dict(context.invocation_metadata() or ())


def _address(context: Context) -> str:
    """The caller's address on TCP as people write it, "" where there is none."""
    # gRPC names an IPv6 peer as a part of a URI: ipv6:%5B::1%5D:7443.
    match = _TCP_PEER.fullmatch(unquote(context.peer()))
    return match["host"].removeprefix("[").removesuffix("]") if match is not None else ""


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


@dataclass(frozen=True, slots=True)
class TicketBounds:
    """How many tickets there may be at once.

    first_call_seconds: a ticket that no call was made with for so long is taken back.
    """

    of_all: int = 1024
    of_user: int = 128
    of_process: int = 8
    first_call_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class _Ticket:
    """Whose it is, and the time within which it is to be used for the first time."""

    owner: PeerCredentials
    patience: asyncio.Timeout


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

    def __init__(
        self,
        path: Path,
        mode: int,
        bounds: TicketBounds = TicketBounds(),
        on_refused: Callable[[str, str], None] = lambda _who, _why: None,
        on_end: Callable[[PeerCredentials], None] = lambda _owner: None,
    ) -> None:
        """Listen at `path` with the file mode `mode`, once started.

        on_refused: told who gets no ticket, and the sentence that says why.
        on_end: told whose ticket ended, before anybody can have its place.
        """
        self._path = path
        self._mode = mode
        self._bounds = bounds
        self._on_refused = on_refused
        self._on_end = on_end
        self._tickets: dict[str, _Ticket] = {}
        self._links: defaultdict[int, set[int]] = defaultdict(set)  # pid -> its links
        self._users: Counter[int] = Counter()  # uid -> how many tickets it has
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
        """Who holds the ticket that a call was made with; None when it does not count (any more)."""
        held = self._tickets.get(ticket)
        if held is None or held.patience.expired():
            return None
        held.patience.reschedule(None)
        return held.owner

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        refusal = self._refusal(pid, uid)
        if refusal:
            self._on_refused(str(PeerCredentials(uid, gid, pid)), refusal)
            writer.write(f"{refusal}\n".encode())
            writer.close()
            return
        owner = PeerCredentials(uid, gid, pid, self._free_link(pid))
        ticket = secrets.token_hex(16)
        self._links[pid].add(owner.link)
        self._users[uid] += 1
        self._connections.add(writer)
        try:
            async with asyncio.timeout(self._bounds.first_call_seconds) as patience:
                self._tickets[ticket] = _Ticket(owner, patience)
                writer.write(f"{ticket}\n".encode())
                await reader.read(1)  # returns at the end of the connection; nothing is ever sent to us
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._connections.discard(writer)
            del self._tickets[ticket]
            self._on_end(owner)
            self._give_back(owner)
            writer.close()

    def _give_back(self, owner: PeerCredentials) -> None:
        self._links[owner.pid].discard(owner.link)
        if not self._links[owner.pid]:
            del self._links[owner.pid]
        self._users[owner.uid] -= 1
        if not self._users[owner.uid]:
            del self._users[owner.uid]

    def _refusal(self, pid: int, uid: int) -> str:
        """Why the process gets no ticket; "" when it gets one."""
        bounds = self._bounds
        if len(self._links.get(pid, ())) >= bounds.of_process:
            return (
                f"too many callers in process {pid}: it has {bounds.of_process} tickets, which is all it gets"
            )
        if self._users[uid] >= bounds.of_user:
            return (
                f"too many callers of user {uid}: {bounds.of_user} tickets are all that a user gets "
                "(limits.tickets_per_user)"
            )
        if len(self._tickets) >= bounds.of_all:
            return f"too many callers: {bounds.of_all} tickets are all that there are (limits.max_tickets)"
        return ""

    def _free_link(self, pid: int) -> int:
        """The lowest number that no ticket of the process has."""
        taken = self._links.get(pid, ())
        return next(link for link in itertools.count(1) if link not in taken)


class Callers:
    """Turns a call's context into who calls."""

    def __init__(self, office: TicketOffice | None) -> None:
        """office: of the unix socket that is served; None where the service listens on TCP."""
        self._office = office

    async def guest(self, context: Context) -> Guest:
        """The guest that calls; ends the call with UNAUTHENTICATED where nobody vouches for it."""
        if self._office is not None:
            return Guest(id=str(await self.credentials(context)))
        address = _address(context)
        if not address:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the connection has no address to go by")
            raise AssertionError  # abort raises
        return Guest(id=f"ip-{address}")

    def name(self, context: Context) -> str:
        """A name for who calls, "" where nobody vouches; ends no call."""
        if self._office is None:
            return _address(context)
        return str(self._owner(context) or "")

    async def credentials(self, context: Context) -> PeerCredentials:
        """The peer's credentials; ends the call with UNAUTHENTICATED without a ticket that counts."""
        owner = self._owner(context)
        if owner is None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "no ticket that counts: connect to the companion socket <path>.id, keep that connection "
                "open, and send the line it gives as metadata `ticket`",
            )
            raise AssertionError  # abort raises
        return owner

    def _owner(self, context: Context) -> PeerCredentials | None:
        """Whose ticket the call was made with; None without one that counts."""
        ticket = _metadata(context).get("ticket", "")
        if self._office is None or not isinstance(ticket, str) or not _TICKET.fullmatch(ticket):
            return None
        return self._office.owner(ticket)
