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
from appliance.control import SvmControl
from appliance.doors import serve_administrators, serve_by_certificate
from appliance.ksn_control import PolicyControl
from appliance.rpc.server import CannotListen
from tests.support.svm import DEADLINE, settings_in


@asynccontextmanager
async def administered(settings: Settings) -> AsyncIterator[None]:
    """An SVM with its administrators' socket."""
    settings.server.state_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        parts = await build(settings, stack)
        control = SvmControl(parts, "0", False, time.time)
        await serve_administrators(settings, parts, control, PolicyControl(parts.ksn), stack)
        yield


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
