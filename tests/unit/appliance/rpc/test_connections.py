"""Who holds the guests' connections: a real gRPC server, and real sockets."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from appliance.config_limits import Limits
from appliance.rpc import connections as module
from appliance.rpc.connections import Connections, Door, Place, Watched, machine_of, peer_of
from appliance.rpc.identity import Callers, Nobody
from appliance.rpc.server import Address, Server, ServerBounds
from tests.support.enrolled_guest import enrolled_guest, with_authority
from tests.support.relay import free_port
from tests.support.svm import DEADLINE, digest_of, running_svm, until

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(listen: str, connections: int = 1024) -> AsyncIterator[None]:
    """A server there, that takes so many connections."""
    bounds = ServerBounds(connections=connections, idle_seconds=600, handshake_seconds=100)
    server = Server(Address.parse(listen), 0o600, Callers(Nobody()), bounds)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


async def line(port: int, local: str = "127.0.0.1") -> Line:
    """A connection from an address."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(local, 0))


async def is_cut(connection: Line) -> bool:
    """Whether a connection is shut down; what the server said before does not count."""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.2):
            while await connection[0].read(4096):
                pass
        return True
    return False


class Look:
    """Connections of which one door is watched. over, full: what was told of it."""

    def __init__(
        self, door: Door, of_one: int = 1000, of_all: int = 1000, kept: tuple[str, int] | None = None
    ) -> None:
        self.over: list[tuple[str, int]] = []
        self.full = 0
        self.now = 100.0  # seconds
        self.all = Connections()
        self.door = self.watch(door, of_one, of_all, kept)

    def watch(
        self, door: Door, of_one: int = 1000, of_all: int = 1000, kept: tuple[str, int] | None = None
    ) -> Watched:
        """Have another one watched."""

        def over(who: str, number: int) -> None:
            self.over.append((who, number))

        def full() -> None:
            self.full += 1

        watched = Watched(door, of_one, of_all, lambda peer: peer == kept, over, full)
        self.all.watch(watched)
        return watched

    def held(self, door: Watched | None = None) -> int:
        """How many a door has now."""
        self.all.look()
        return len(self.all.held(door or self.door))

    async def sees(self, number: int) -> None:
        """Return when so many connections are there."""
        await until(lambda: self.held() == number, f"{number} connections are there")

    def shut(self) -> None:
        """Shut down what is over the bounds."""
        self.all.shut(self.all.surplus(self.now))


async def test_an_address_keeps_its_latest_connections() -> None:
    """Those over the bound are shut down, the oldest first; another address loses none."""
    port = free_port()
    look = Look(Door(port=port), 2)
    async with served(f"tcp:127.0.0.1:{port}"):
        lines = []
        for number in range(5):
            lines.append(await line(port))
            await look.sees(number + 1)
        other = [await line(port, "127.0.0.2") for _ in range(2)]
        await look.sees(7)
        look.shut()
        assert look.over == [("127.0.0.1", 3)]
        await look.sees(4)
        look.shut()
        assert len(look.over) == 1
        assert [await is_cut(each) for each in [*lines, *other]] == [True] * 3 + [False] * 4
        for _, writer in (*lines, *other):
            writer.close()


async def test_a_connection_with_a_guest_on_it_stays() -> None:
    """However old it is, and also where too many have one."""
    port = free_port()
    async with served(f"tcp:127.0.0.1:{port}"):
        lines = [await line(port)]
        look = Look(Door(port=port), 1, kept=lines[0][1].get_extra_info("sockname"))
        await look.sees(1)
        lines += [await line(port) for _ in range(2)]
        await look.sees(3)
        look.shut()
        assert look.over == [("127.0.0.1", 2)]
        assert [await is_cut(each) for each in lines] == [False, True, True]
        for _, writer in lines:
            writer.close()


async def test_on_a_unix_socket_the_newest_of_a_user_go(tmp_path: Path) -> None:
    """A guest cannot be told from others there, and who was there first is no newcomer that floods."""
    look = Look(Door(str(tmp_path / "s")), 2)
    async with served(f"unix:{tmp_path}/s"):
        lines = []
        for number in range(3):
            lines.append(await asyncio.open_unix_connection(tmp_path / "s"))
            await look.sees(number + 1)
        look.shut()
        assert look.over == [(f"uid-{os.getuid()}", 1)]
        assert [await is_cut(each) for each in lines] == [False, False, True]
        for _, writer in lines:
            writer.close()


async def test_one_look_finds_the_connections_of_all_doors(tmp_path: Path) -> None:
    """Each has its own bounds, and none is counted for another."""
    ports = free_port(), free_port()
    look = Look(Door(port=ports[0]), 1)
    second, third = look.watch(Door(port=ports[1]), 2), look.watch(Door(str(tmp_path / "s")), 1)
    async with (
        served(f"tcp:127.0.0.1:{ports[0]}"),
        served(f"tcp:127.0.0.1:{ports[1]}"),
        served(f"unix:{tmp_path}/s"),
    ):
        lines = [await line(ports[0]), await line(ports[1]), await line(ports[1])]
        lines.append(await asyncio.open_unix_connection(tmp_path / "s"))
        await until(lambda: look.held(third) == 1, "the socket has one")
        await until(lambda: look.held(second) == 2, "the second door has two")
        await look.sees(1)
        assert look.all.surplus(look.now) == []
        lines.append(await line(ports[0]))
        await look.sees(2)
        look.shut()
        assert look.over == [("127.0.0.1", 1)]
        assert [await is_cut(each) for each in lines] == [True, False, False, False, False]
        for _, writer in lines:
            writer.close()


async def test_a_door_that_has_all_that_it_takes_is_told_of() -> None:
    """gRPC closes others without a word; with room again there is nothing to tell."""
    port = free_port()
    look = Look(Door(port=port), of_all=16)
    async with served(f"tcp:127.0.0.1:{port}", 16):
        lines = [await line(port, f"127.0.0.{number}") for number in range(1, 16)]
        await look.sees(15)
        look.shut()
        assert look.full == 0
        lines += [await line(port, f"127.0.1.{number}") for number in range(1, 10)]
        await until(lambda: look.held() == 16, "it is full")
        look.shut()
        assert look.full == 1
        assert sum([await is_cut(each) for each in lines]) == 8
        for _, writer in lines[:4]:
            writer.close()
        await until(lambda: look.held() < 16, "it has room")
        look.shut()
        assert (look.full, look.over) == (1, [])
        for _, writer in lines:
            writer.close()


async def test_a_door_that_has_room_is_cleared_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is cut off comes back at once, which costs; where room gets short, and a while after, all go."""
    monkeypatch.setattr(module, "UNHURRIED", 2)
    port = free_port()
    look = Look(Door(port=port), 1, 16)
    async with served(f"tcp:127.0.0.1:{port}", 16):
        lines = [await line(port) for _ in range(11)]
        await look.sees(11)
        look.shut()
        assert look.over == [("127.0.0.1", 2)]
        await look.sees(9)
        lines += [await line(port) for _ in range(3)]
        await look.sees(12)
        look.shut()
        assert look.over[1:] == [("127.0.0.1", 11)]
        await look.sees(1)
        for later, gone in ((module.CROWDED_FOR - 1, 4), (module.CROWDED_FOR, 2)):
            lines += [await line(port) for _ in range(4)]
            await look.sees(5)
            look.now = 100 + later
            look.shut()
            assert look.over[-1] == ("127.0.0.1", gone)
            await look.sees(5 - gone)
        for _, writer in lines:
            writer.close()


async def test_the_connection_of_one_peer_can_be_cut() -> None:
    """By its name in gRPC; and one that is nowhere cuts nothing."""
    port = free_port()
    look = Look(Door(port=port))
    async with served(f"tcp:127.0.0.1:{port}"):
        first, second = await line(port), await line(port)
        await look.sees(2)
        host, number = first[1].get_extra_info("sockname")
        for peer in (f"ipv4:{host}:{number}", "ipv4:192.0.2.1:7", "unix:"):
            look.all.cut(look.door, peer)
        assert (await is_cut(first), await is_cut(second)) == (True, False)
        for _, writer in (first, second):
            writer.close()


async def test_a_descriptor_that_is_anothers_by_now_is_left_alone() -> None:
    """Between look and cut the number may have gone to another socket."""
    ours, theirs = socket.socketpair()
    connections = Connections()
    connections.shut([Place(ours.fileno(), os.fstat(ours.fileno()).st_ino + 1)])
    ours.send(b"x")
    assert theirs.recv(1) == b"x"
    assert Door(port=1).connection(Place(ours.fileno(), 0)) is None
    connections.shut([Place(ours.fileno(), os.fstat(ours.fileno()).st_ino)])
    with pytest.raises(BrokenPipeError):
        ours.send(b"x")
    ours.close()
    theirs.close()
    assert Door(port=1).connection(Place(987_654, 1)) is None


@pytest.mark.parametrize(
    ("said", "peer", "machine"),
    [
        ("ipv4:192.0.2.7:4711", ("192.0.2.7", 4711), "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:7", ("2001:db8:1:2:3:4:5:6", 7), "2001:db8:1:2::/64"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:7", ("192.0.2.7", 7), "192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:7", ("fe80::1", 7), "fe80::/64"),
    ],
)
def test_peers_as_grpc_names_them(said: str, peer: tuple[str, int], machine: str) -> None:
    """The same machine is the same, however it comes; one with a network of its own is one machine."""
    assert peer_of(said) == peer
    assert machine_of(peer[0]) == machine
    assert peer_of("unix:") is None


async def test_a_full_door_is_counted_and_told(tmp_path: Path) -> None:
    """Of an SVM by the settings: an operator sees that newcomers are closed, and what to set."""
    port = free_port()
    with_authority(tmp_path)
    async with running_svm(tmp_path, Limits(connections=16), listen=f"tcp:127.0.0.1:{port}") as svm:
        sessions, told = svm.parts.sessions, []
        sessions.on_breach.append(lambda guest, kind, why: told.append((guest.id, kind, why)))
        lines = [await line(port, f"127.0.0.{number}") for number in range(1, 25)]
        await until(lambda: sessions.overs["guest_over_connections"] >= 1, "it is counted")
        assert told[0][:2] == ("everybody", "full")
        assert "16 connections" in told[0][2]
        assert told[0][2].endswith("see limits.connections")
        for _, writer in lines:
            writer.close()


async def test_who_opens_connections_without_end_keeps_out_nobody(tmp_path: Path) -> None:
    """Neither another address, nor the guest that is attached from the same; the operator is told."""
    port = free_port()
    limits = Limits(connections_per_address=4)
    with_authority(tmp_path)
    async with running_svm(tmp_path, limits, listen=f"tcp:127.0.0.1:{port}") as svm:
        sessions, told = svm.parts.sessions, []
        sessions.on_breach.append(lambda guest, kind, why: told.append((guest.id, kind, why)))
        async with enrolled_guest(svm, f"127.0.0.1:{port}") as guest:
            lines = [await line(port) for _ in range(20)]
            await until(lambda: sessions.overs["guest_over_connections_per_address"] >= 17, "they are closed")
            assert sum([await is_cut(each) for each in lines]) >= 17
            assert len((await guest.ask(digest_of(b"x"))).outcomes) == 1
            health = health_pb2_grpc.HealthStub(guest.channel)
            assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)).status
            for _, writer in lines:
                writer.close()
        assert told[0][:2] == ("127.0.0.1", "refused")
        assert "limits.connections_per_address" in told[0][2]
        await until(lambda: not sessions.peers, "the guest is gone")
