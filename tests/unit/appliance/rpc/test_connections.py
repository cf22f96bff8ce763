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
from appliance.rpc.connections import Connections, Door, Place, machine_of, peer_of
from appliance.rpc.identity import Callers, Nobody
from appliance.rpc.server import Address, Server, ServerBounds
from tests.support.enrolled_guest import enrolled_guest, with_authority
from tests.support.relay import free_port
from tests.support.svm import DEADLINE, digest_of, running_svm, until

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(listen: str) -> AsyncIterator[None]:
    """A server there."""
    bounds = ServerBounds(idle_seconds=600, handshake_seconds=100)
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


def watching(port: int, most: int, *kept: tuple[str, int]) -> tuple[Connections, list[tuple[str, int]]]:
    """What watches a port, and what it tells."""
    told: list[tuple[str, int]] = []
    held = Connections(Door(port=port), most, lambda peer: peer in kept, lambda *over: told.append(over))
    return held, told


async def seen(connections: Connections, number: int) -> None:
    """Return when so many connections are there."""

    def there() -> bool:
        connections.look()
        return len(connections) == number

    await until(there, f"{number} connections are there")


async def test_an_address_keeps_its_latest_connections() -> None:
    """Those over the bound are shut down, the oldest first; another address loses none."""
    port = free_port()
    connections, told = watching(port, 2)
    async with served(f"tcp:127.0.0.1:{port}"):
        lines = []
        for number in range(5):
            lines.append(await line(port))
            await seen(connections, number + 1)
        other = [await line(port, "127.0.0.2") for _ in range(2)]
        await seen(connections, 7)
        connections.shut(connections.surplus())
        assert told == [("127.0.0.1", 3)]
        await seen(connections, 4)
        connections.shut(connections.surplus())
        assert len(told) == 1
        assert [await is_cut(each) for each in [*lines, *other]] == [True] * 3 + [False] * 4
        for _, writer in (*lines, *other):
            writer.close()


async def test_a_connection_with_a_guest_on_it_stays() -> None:
    """However old it is, and also where too many have one."""
    port = free_port()
    async with served(f"tcp:127.0.0.1:{port}"):
        lines = [await line(port)]
        connections, told = watching(port, 1, lines[0][1].get_extra_info("sockname"))
        await seen(connections, 1)
        lines += [await line(port) for _ in range(2)]
        await seen(connections, 3)
        connections.shut(connections.surplus())
        assert told == [("127.0.0.1", 2)]
        assert [await is_cut(each) for each in lines] == [False, True, True]
        for _, writer in lines:
            writer.close()


async def test_on_a_unix_socket_the_newest_of_a_user_go(tmp_path: Path) -> None:
    """A guest cannot be told from others there, and who was there first is no newcomer that floods."""
    told: list[tuple[str, int]] = []
    connections = Connections(Door(str(tmp_path / "s")), 2, lambda _: False, lambda *over: told.append(over))
    async with served(f"unix:{tmp_path}/s"):
        lines = []
        for number in range(3):
            lines.append(await asyncio.open_unix_connection(tmp_path / "s"))
            await seen(connections, number + 1)
        connections.shut(connections.surplus())
        assert told == [(f"uid-{os.getuid()}", 1)]
        assert [await is_cut(each) for each in lines] == [False, False, True]
        for _, writer in lines:
            writer.close()


async def test_the_connection_of_one_peer_can_be_cut() -> None:
    """By its name in gRPC; and one that is nowhere cuts nothing."""
    port = free_port()
    connections, _ = watching(port, 10)
    async with served(f"tcp:127.0.0.1:{port}"):
        first, second = await line(port), await line(port)
        await seen(connections, 2)
        host, number = first[1].get_extra_info("sockname")
        for peer in (f"ipv4:{host}:{number}", "ipv4:192.0.2.1:7", "unix:"):
            connections.cut(peer)
        assert (await is_cut(first), await is_cut(second)) == (True, False)
        for _, writer in (first, second):
            writer.close()


async def test_a_descriptor_that_is_anothers_by_now_is_left_alone() -> None:
    """Between look and cut the number may have gone to another socket."""
    ours, theirs = socket.socketpair()
    connections, _ = watching(1, 0)
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
