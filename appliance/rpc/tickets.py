"""Tickets: how the kernel's word on who is at the other end of a unix socket reaches a gRPC call.

gRPC for Python does not hand out a peer's credentials, so the kernel names the caller on a companion
socket `<path>.id`: whoever connects there gets a ticket of 32 hexadecimal digits and a newline, sends it
as metadata `ticket` with every call, and keeps the companion connection open for as long as the ticket
is to count (docs/decisions/0003). Tickets are bounded; who gets none reads a sentence instead. A ticket
that is not used soon counts no more.
"""

import asyncio
import itertools
import os
import re
import secrets
import socket
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

_UCRED = struct.Struct("3i")
_PEER_GROUPS = 59  # SO_PEERGROUPS of Linux, for which Python has no name
_MOST_GROUPS = 1024
_TICKET = re.compile(r"[0-9a-f]{32}")


class SocketInUse(Exception):
    """Another process listens on the path, or something that is no socket lies there."""


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Who is at the other end of a unix socket, as the kernel says it.

    link: which of the process's tickets, from 1; each is a caller of its own. groups: the supplementary ones.
    """

    uid: int
    gid: int
    pid: int
    link: int = 1
    groups: frozenset[int] = frozenset()

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


class Listener:
    """What a ticket office asks and tells; does nothing by itself."""

    def why_none(self, _owner: PeerCredentials) -> str:
        """Why a process is to get no ticket; "" where it may have one."""
        return ""

    def refused(self, _who: str, _why: str) -> None:
        """Somebody got no ticket, and the sentence that says why."""

    def ended(self, _owner: PeerCredentials) -> None:
        """Somebody's ticket ended; told before anybody can have its place."""


class TicketOffice:
    """Hands out tickets on `<path>.id` and says whose a ticket is."""

    def __init__(
        self,
        path: Path,
        mode: int,
        bounds: TicketBounds = TicketBounds(),
        listener: "Listener | None" = None,
    ) -> None:
        """Listen at `path` with the file mode `mode`, once started."""
        self._path = path
        self._mode = mode
        self._bounds = bounds
        self._listener = listener or Listener()
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
        held = self._tickets.get(ticket) if _TICKET.fullmatch(ticket) else None
        if held is None or held.patience.expired():
            return None
        held.patience.reschedule(None)
        return held.owner

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        owner = PeerCredentials(uid, gid, pid, self._free_link(pid), _groups(sock))
        refusal = self._listener.why_none(owner) or self._refusal(pid, uid)
        if refusal:
            self._listener.refused(str(replace(owner, link=1)), refusal)
            writer.write(f"{refusal}\n".encode())
            writer.close()
            return
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
            self._listener.ended(owner)
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


def _groups(sock: socket.socket) -> frozenset[int]:
    """The supplementary groups of the process at the other end; none where it has more than anybody needs."""
    try:
        ids = sock.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, 4 * _MOST_GROUPS)
    except OSError:  # more, or a kernel before 4.13: what the groups would allow is not allowed then
        return frozenset()
    return frozenset(struct.unpack(f"{len(ids) // 4}I", ids))
