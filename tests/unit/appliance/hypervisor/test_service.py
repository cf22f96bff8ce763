"""What systemd is told."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.hypervisor.service import Service


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(30)
        yield server


def test_each_word_is_a_message(manager: socket.socket) -> None:
    """As sd_notify(3) has them; an abstract name counts too."""
    service = Service({"NOTIFY_SOCKET": str(manager.getsockname())})
    service.ready()
    service.stopping()
    assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("\0svm-host-test")
        abstract.settimeout(30)
        Service({"NOTIFY_SOCKET": "@svm-host-test"}).ready()
        assert abstract.recv(100) == b"READY=1"


async def test_it_says_that_it_lives_where_that_is_wanted(manager: socket.socket) -> None:
    """Not where another process is meant, nor where nobody asks."""
    asked = {"NOTIFY_SOCKET": str(manager.getsockname()), "WATCHDOG_USEC": "30000"}
    for environ in ({}, {"WATCHDOG_PID": "1"} | asked, {"NOTIFY_SOCKET": asked["NOTIFY_SOCKET"]}):
        service = Service(environ)
        await service.live()
    service = Service(asked | {"WATCHDOG_PID": str(os.getpid())})
    assert service.watchdog_seconds == 0.03
    living = asyncio.get_running_loop().create_task(service.live())
    said = [await asyncio.to_thread(manager.recv, 100) for _ in range(2)]
    living.cancel()
    assert said == [b"WATCHDOG=1"] * 2


def test_nobody_there_is_no_reason_to_fail(tmp_path: Path) -> None:
    """systemd may restart."""
    Service({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
