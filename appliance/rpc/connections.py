"""Who holds the connections of the doors, and how many: gRPC bounds them for all together only.

gRPC tells nobody of a connection before a call comes on it, one that says nothing has none, and one that is
too many for a door is closed without a word. So the process's own sockets are looked at, once a second, and
more often while somebody has too many at a door that has little room. Those that are connected to a door are
counted by who is at their other end, and what is over the bound is shut down, which gRPC takes for a guest
that went away (docs/decisions/0034). A door that has all that it takes is counted as full, look by look.

On TCP who that is is the address, of IPv6 its first 64 bits, since those are one machine's; the oldest go
first, but none that a guest is attached on: so one that opens connections without end keeps out neither
others nor its own stub. On a unix socket it is the user, and the newest go.
"""

import asyncio
import os
import re
import socket
import stat
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

LOOK_SECONDS = 1.0
CROWDED_SECONDS = 0.05  # while somebody has more than he may at a door that has little room, or had
CROWDED = 0.75  # of the connections that a door takes: from here on it has little room
CROWDED_FOR = 10.0  # seconds after that in which it counts as such
UNHURRIED = 16  # connections that are shut down at one look at a door that has room
REST = 4  # times as long as a look has taken nothing is looked at
_UCRED = struct.Struct("3i")
_TCP_PEER = re.compile(r"ipv[46]:(?P<host>.+):(?P<port>\d+)")
_MAPPED = "::ffff:"


class Place(NamedTuple):
    """A descriptor, and which socket it is: numbers of descriptors are used again."""

    fd: int
    inode: int


@dataclass(frozen=True, slots=True)
class Connection:
    """who: counted together. peer: host and port, None on a unix socket."""

    who: str
    peer: tuple[str, int] | None


def written_peer_of(said: str) -> tuple[str, int] | None:
    """Host, as people write it, and port of a peer as gRPC names it; None for one on a unix socket."""
    # gRPC names an IPv6 peer as a part of a URI: ipv6:%5B::1%5D:7443.
    match = _TCP_PEER.fullmatch(unquote(said))
    return None if match is None else (match["host"].removeprefix("[").removesuffix("]"), int(match["port"]))


def peer_of(said: str) -> tuple[str, int] | None:
    """The same, with the address as the kernel has it: without a zone, and one of IPv4 as such."""
    written = written_peer_of(said)
    return None if written is None else (_plain(written[0]), written[1])


def _plain(host: str) -> str:
    """An address without its zone, and one of IPv4 as such."""
    return host.partition("%")[0].removeprefix(_MAPPED)


def machine_of(host: str) -> str:
    """What stands for a machine: its address, of IPv6 the first 64 bits."""
    if ":" not in host:
        return host
    network = socket.inet_pton(socket.AF_INET6, host)[:8] + bytes(8)
    return f"{socket.inet_ntop(socket.AF_INET6, network)}/64"


@dataclass(frozen=True, slots=True)
class Door:
    """Where others come in. path: of the unix socket, "" on TCP. port: on TCP."""

    path: str = ""
    port: int = 0

    def connection(self, place: Place) -> Connection | None:
        """The connection that a socket is, None where it is none of this door, or gone."""
        try:
            held = socket.socket(fileno=place.fd)
        except OSError:  # it has been closed meanwhile
            return None
        try:  # should the number be another socket's by now, the next look finds out
            return self._of(held)
        except OSError:  # it is not connected
            return None
        finally:
            held.detach()

    def _of(self, held: socket.socket) -> Connection | None:
        if held.type != socket.SOCK_STREAM or held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
        if held.family == socket.AF_UNIX:
            if not self.path or held.getsockname() != self.path:
                return None
            uid = _UCRED.unpack(held.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1]
            return Connection(f"uid-{uid}", None)
        if held.family not in {socket.AF_INET, socket.AF_INET6} or held.getsockname()[1] != self.port:
            return None
        host, port = held.getpeername()[:2]
        return Connection(machine_of(_plain(host)), (_plain(host), port))


@dataclass(slots=True, eq=False)
class Seen:
    """The connections of a door at one look, the oldest first, and how many each has of them."""

    held: list[tuple[Place, Connection]] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)

    def add(self, place: Place, connection: Connection) -> None:
        """One that is younger than those before."""
        self.held.append((place, connection))
        self.numbers[connection.who] += 1


@dataclass(slots=True, eq=False)
class Watched:
    """A door, and what is wanted of its connections.

    of_one: how many an address or user may have. of_all: how many gRPC takes. keeps: whether a guest is
    attached on the connection of a peer. on_over: told who had too many, and how many were shut down.
    on_full: told at each look that finds all of them taken. crowded_until: seconds of the loop.
    """

    door: Door
    of_one: int
    of_all: int
    keeps: Callable[[tuple[str, int]], bool]
    on_over: Callable[[str, int], None]
    on_full: Callable[[], None]
    crowded_until: float = 0.0

    def surplus(self, seen: Seen, now: float) -> list[Place]:
        """What is to be shut down, of which is told. seen: at the last look.

        As long as there is room it is some of what is over the bound: who is cut off comes back at once, and
        what that costs everybody would feel.
        """
        held = seen.held
        if len(held) >= self.of_all:
            self.on_full()
        if len(held) >= CROWDED * self.of_all:
            self.crowded_until = now + CROWDED_FOR
        most = len(held) if now < self.crowded_until else UNHURRIED
        surplus: list[Place] = []
        for who, number in seen.numbers.items():
            if number <= self.of_one:
                continue
            own = [(place, found.peer) for place, found in held if found.who == who]
            going = [place for place, peer in own if peer is None or not self.keeps(peer)]
            if own[0][1] is None:
                going.reverse()
            going = going[: min(number - self.of_one, most - len(surplus))]
            surplus += going
            self.on_over(who, len(going))
        return surplus


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look has found.

    known: by descriptor, the oldest first, which socket it is, and of which door it is what. seen: by door.
    """

    known: dict[int, tuple[int, tuple[Watched, Connection] | None]] = field(default_factory=dict)
    seen: dict[Watched, Seen] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Connections:
    """The connections of all doors, which are found by one look."""

    _doors: list[Watched] = field(default_factory=list)
    _last: Looked = field(default_factory=Looked)

    def watch(self, door: Watched) -> None:
        """Have a door looked at too, before it is opened."""
        self._doors.append(door)

    async def run(self) -> None:
        """Look at them until cancelled."""
        loop, pause = asyncio.get_running_loop(), LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            began, pause = loop.time(), LOOK_SECONDS
            with suppress(OSError):  # no descriptor is left to look with: the next time
                await asyncio.to_thread(self.look)
                if going := self.surplus(began):  # and whoever it is goes on with it
                    await asyncio.to_thread(self.shut, going)
                    if any(began < door.crowded_until for door in self._doors):
                        pause = min(LOOK_SECONDS, max(CROWDED_SECONDS, REST * (loop.time() - began)))

    def look(self) -> Looked:
        """Find out what is open now. Takes some microseconds for each descriptor; may be run in a thread."""
        known = self._last.known.copy()
        gone = set(known)
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                found = os.fstat(fd)
            except OSError:  # closed meanwhile
                continue
            before = known.get(fd)
            if before is not None and before[0] == found.st_ino:
                gone.discard(fd)
            elif stat.S_ISSOCK(found.st_mode):
                gone.discard(fd)
                known.pop(fd, None)
                known[fd] = (found.st_ino, self._found(Place(fd, found.st_ino)))
        for fd in gone:
            del known[fd]
        seen = defaultdict[Watched, Seen](Seen)
        for fd, (inode, it) in known.items():
            if it is not None:
                seen[it[0]].add(Place(fd, inode), it[1])
        self._last = Looked(known, seen)
        return self._last

    def _found(self, place: Place) -> tuple[Watched, Connection] | None:
        """Of which door a socket is what, None where it is of none."""
        for watched in self._doors:
            connection = watched.door.connection(place)
            if connection is not None:
                return watched, connection
        return None

    def held(self, door: Watched) -> list[tuple[Place, Connection]]:
        """The connections of a door that there were at the last look, the oldest first; to be read only."""
        seen = self._last.seen.get(door)
        return [] if seen is None else seen.held

    def surplus(self, now: float) -> list[Place]:
        """What is to be shut down at all doors, of which is told. now: seconds of the loop."""
        return [place for door, seen in self._last.seen.items() for place in door.surplus(seen, now)]

    def shut(self, places: Iterable[Place]) -> None:
        """Shut connections down, but none whose descriptor is another's by now. May be run in a thread."""
        for place in places:
            with suppress(OSError), socket.socket(fileno=os.dup(place.fd)) as held:
                if os.fstat(held.fileno()).st_ino == place.inode:
                    held.shutdown(socket.SHUT_RDWR)

    def cut(self, door: Watched, peer: str) -> None:
        """Shut down the connection of a peer, as gRPC names it; on a unix socket nothing can be done."""
        address = peer_of(peer)
        if address is None:
            return
        seen = self.look().seen.get(door, Seen())
        self.shut([place for place, found in seen.held if found.peer == address])
