"""The gRPC servers."""

import asyncio
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from appliance.rpc.identity import Callers, Nobody
from appliance.rpc.server import Address, CannotListen, Server, ServerBounds
from tests.support.svm import DEADLINE, end_of, running_svm

NOBODY = Callers(Nobody())
NAME = "lightagent.v1.Protection"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4" + bytes(5)


@pytest.mark.parametrize(
    ("listen", "path", "target"),
    [
        ("unix:/run/x.sock", Path("/run/x.sock"), "unix:/run/x.sock"),
        ("tcp:192.0.2.1:7443", None, "192.0.2.1:7443"),
        ("tcp:[::1]:7443", None, "[::1]:7443"),
    ],
)
def test_an_address_of_the_configuration(listen: str, path: Path | None, target: str) -> None:
    """Both forms of server.listen are understood."""
    assert Address.parse(listen) == Address(path, target)


async def test_health_and_reflection_are_served(tmp_path: Path) -> None:
    """A probe sees SERVING, and a tool that asks sees the service's name."""
    async with running_svm(tmp_path) as svm, grpc.aio.insecure_channel(svm.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=NAME))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = await call.read()
        assert NAME in {service.name for service in listed.list_services_response.service}
        call.cancel()


async def test_the_socket_is_not_for_everybody(tmp_path: Path) -> None:
    """Owner and group may connect, others may not."""
    async with running_svm(tmp_path) as svm:
        path = svm.target.removeprefix("unix:")
        for each in (path, f"{path}.id"):
            assert os.stat(each).st_mode & 0o777 == 0o660


async def refusal(listen: str) -> str:
    """Why a server cannot listen there."""
    with pytest.raises(CannotListen) as raised:
        await Server(Address.parse(listen), 0o600, NOBODY).start()
    return str(raised.value)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("192.0.2.1", "it is no address of this machine: see `ip address`"),
        ("[2001:db8::1]", "it is no address of this machine: see `ip address`"),
        ("nowhere.invalid", "its name is not known here: give an address of this machine"),
    ],
)
async def test_an_address_of_another_machine_is_told(host: str, why: str) -> None:
    """The sentence says which address it was."""
    assert await refusal(f"tcp:{host}:7443") == f"cannot listen on {host}:7443: {why}"


async def test_a_port_that_is_taken_is_told() -> None:
    """And how to see by whom."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert await refusal(f"tcp:{address}") == (
            f"cannot listen on {address}: something else listens there: "
            "see `ss -ltnp`, end that or give another port"
        )


@pytest.mark.skipif(
    os.geteuid() != 0 or int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 443,
    reason="takes another user's place, where some ports are root's",
)
def test_a_port_that_is_only_for_root_is_told() -> None:
    """By a program that is nobody's and not root's, as the SVM's user is."""
    ran = subprocess.run(
        [sys.executable, "-c", "from appliance.rpc.server import Address\n"
         "import os; os.setuid(65534); print(Address.parse('tcp:127.0.0.1:443').why_not())"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert ran.stdout == "the SVM's user may not use this port: give one of 1024 or more\n"


async def test_a_socket_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """By the directory that it would be in."""
    said = await refusal(f"unix:{tmp_path}/none/s")
    assert said.endswith(f"/s: see that {tmp_path}/none is there, and that the SVM's user may write in it")


@pytest.mark.parametrize("first_words", [b"", PREFACE])
async def test_a_connection_without_a_call_is_closed(tmp_path: Path, first_words: bytes) -> None:
    """Who connects and asks nothing holds a descriptor of the SVM: not for long, whatever he says."""
    server = Server(Address.parse(f"unix:{tmp_path}/s"), 0o600, NOBODY, ServerBounds(idle_seconds=0.1))
    await server.start(NAME)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
    writer.write(first_words)
    said = await asyncio.wait_for(reader.read(), DEADLINE)
    assert b"connection idle" in said
    writer.close()
    await server.stop(0)


async def test_connections_are_bounded(tmp_path: Path) -> None:
    """Over the bound a connection is closed at once; a place that is free is given anew."""
    server = Server(Address.parse(f"unix:{tmp_path}/s"), 0o600, NOBODY, ServerBounds(connections=1))
    await server.start(NAME)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
    writer.write(PREFACE)
    assert await asyncio.wait_for(reader.read(1), DEADLINE)
    late_reader, late_writer = await asyncio.open_unix_connection(tmp_path / "s")
    assert await asyncio.wait_for(late_reader.read(), DEADLINE) == b""
    late_writer.close()
    writer.close()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        asked = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=DEADLINE
        )
        assert (await asked).status == health_pb2.HealthCheckResponse.SERVING
    await server.stop(0)


async def test_who_watches_is_told_when_the_server_retires(tmp_path: Path) -> None:
    """NOT_SERVING is the last word, so that nobody's Watch has a stop wait."""
    server = Server(Address.parse(f"unix:{tmp_path}/s"), 0o600, NOBODY)
    await server.start(NAME)
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await server.retire()
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await end_of(watch)).status is grpc.StatusCode.OK
        await server.stop(DEADLINE)


async def test_what_comes_before_it_is_read_stays_little(tmp_path: Path) -> None:
    """A call's window is 64 KiB, as the first frame says (SETTINGS_INITIAL_WINDOW_SIZE, RFC 9113, 6.5.2)."""
    server = Server(Address.parse(f"unix:{tmp_path}/s"), 0o600, NOBODY)
    await server.start(NAME)
    reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
    writer.write(PREFACE)
    async with asyncio.timeout(DEADLINE):
        head = await reader.readexactly(9)
        body = await reader.readexactly(int.from_bytes(head[:3], "big"))
    assert head[3] == 4  # SETTINGS
    settings = dict(struct.iter_unpack(">HI", body))
    assert settings[4] == 64 * 1024
    writer.close()
    await server.stop(0)
