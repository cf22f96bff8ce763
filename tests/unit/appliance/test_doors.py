"""Where guests and administrators come in."""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.composition import build
from appliance.config import Settings
from appliance.config_doors import AdministratorSettings
from appliance.config_limits import Limits
from appliance.control import SvmControl
from appliance.doors import serve_administrators, serve_by_certificate
from appliance.ksn_control import PolicyControl
from appliance.rpc.admin_client import AdminClient
from appliance.rpc.server import CannotListen
from tests.support.svm import DEADLINE, settings_in, until


@asynccontextmanager
async def administered(settings: Settings) -> AsyncIterator[None]:
    """An SVM with its administrators' socket."""
    settings.server.state_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        parts = await build(settings, stack)
        control = SvmControl(parts, "0", False, time.time)
        await serve_administrators(settings, parts, control, PolicyControl(parts.ksn), stack)
        yield


def connected(path: Path, user: int) -> socket.socket:
    """A connection of a user's that says nothing."""
    line = socket.socket(socket.AF_UNIX)
    os.seteuid(user)
    try:
        line.connect(os.fspath(path))
    finally:
        os.seteuid(0)
    line.setblocking(False)
    return line


def is_closed(line: socket.socket) -> bool:
    """Whether the SVM has closed it."""
    try:
        while line.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
async def test_a_user_who_holds_connections_without_end_keeps_no_administrator_out() -> None:
    """Where others may administer anybody may connect: so many of one user, and no more."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)
        settings = settings_in(Path(directory), Limits(connections_per_address=4, tickets_per_user=4))
        settings = replace(settings, administrators=AdministratorSettings(auditors=("user:65533",)))
        async with administered(settings):
            socket_path = Path(directory, "admin.sock")
            lines = [connected(socket_path, 65534) for _ in range(100)]
            await until(lambda: sum(map(is_closed, lines)) >= 92, "those over the bound are closed")

            def status() -> str:
                with AdminClient(str(socket_path)) as client:
                    return client.status().version

            assert await asyncio.to_thread(status) == "0"
            for line in lines:
                line.close()


async def ticket_for(path: Path, user: int, group: int) -> bytes:
    """What the SVM tells a process of that user on the companion socket."""
    with socket.socket(socket.AF_UNIX) as other:
        os.setegid(group)
        os.seteuid(user)
        try:
            other.connect(os.fspath(path))  # the kernel keeps who it was that connected
        finally:
            os.seteuid(0)
            os.setegid(0)
        other.setblocking(False)
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(other, 1000), DEADLINE)


async def test_the_administrators_socket_is_the_svms_own(tmp_path: Path) -> None:
    """Unless others are named, nobody else can so much as connect."""
    async with administered(settings_in(tmp_path)):
        assert (tmp_path / "admin.sock").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "admin.sock.id").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
async def test_who_is_named_may_administer_and_nobody_else() -> None:
    """Anybody may connect then; who is not named is told so, and gets no ticket."""
    named = AdministratorSettings(auditors=("user:65533",), tenant_admins=("acme=group:65532",))
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)
        settings = replace(settings_in(Path(directory)), administrators=named)
        async with administered(settings):
            companion = Path(directory, "admin.sock.id")
            assert len(await ticket_for(companion, 65533, 1)) == 33
            assert len(await ticket_for(companion, 65531, 65532)) == 33
            assert b"user 65531 is no administrator" in await ticket_for(companion, 65531, 65531)


@pytest.mark.parametrize("door", ["enrolment", "admin_listen"])
async def test_doors_for_certificates_are_not_opened_without_an_authority(tmp_path: Path, door: str) -> None:
    """The SVM does not start, and says what is to be done."""
    settings = settings_in(tmp_path)
    there = "127.0.0.1:1"
    enrolment = replace(settings.server, enrolment=there)
    server = enrolment if door == "enrolment" else replace(settings.server, admin_listen=there)
    settings = replace(settings, server=server)
    settings.server.state_dir.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        parts = await build(settings, stack)
        control = SvmControl(parts, "0", False, time.time)
        with pytest.raises(CannotListen, match=rf"server\.{door} is on TCP.*svm init"):
            await serve_by_certificate(settings, parts, control, PolicyControl(parts.ksn), stack)
