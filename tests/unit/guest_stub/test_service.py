"""Tests of what systemd is told."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guest_stub.service import Service
from tests.support.descriptors import open_descriptors

DEADLINE = 30.0


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """systemd's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        server.settimeout(DEADLINE)
        yield server


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """One with a path."""
    with listening(str(tmp_path / "notify")) as server:
        yield server


def service_of(manager: socket.socket, **more: str) -> Service:
    """A daemon that it has started."""
    return Service({"NOTIFY_SOCKET": str(manager.getsockname()), **more})


def heard(manager: socket.socket) -> list[str]:
    """All that was said so far."""
    manager.setblocking(False)
    said = []
    while True:
        try:
            said.append(manager.recv(4096).decode())
        except BlockingIOError:
            return said


def test_each_word_is_a_message(manager: socket.socket) -> None:
    """As sd_notify(3) has them; no descriptor is left."""
    before = open_descriptors()
    service = service_of(manager)
    service.ready()
    service.status("protecting")
    service.stopping()
    assert heard(manager) == ["READY=1", "STATUS=protecting", "STOPPING=1"]
    assert open_descriptors() <= before


def test_a_status_is_one_line(manager: socket.socket) -> None:
    """A name with a line end in it says nothing else to systemd."""
    service_of(manager).status("a\nREADY=1\r\n b ")
    assert heard(manager) == ["STATUS=a READY=1 b"]


def test_a_status_may_name_any_file(manager: socket.socket) -> None:
    """Names of files are bytes."""
    service_of(manager).status(os.fsdecode(b"looking at caf\xe9"))
    [said] = heard(manager)
    assert said.startswith("STATUS=looking at caf")


def test_an_abstract_address_is_reached() -> None:
    """It begins with "@", which stands for a zero byte; containers have such."""
    name = f"kvmla-test-{os.getpid()}"
    with listening(f"\0{name}") as manager:
        Service({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert heard(manager) == ["READY=1"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "1000"}])
async def test_without_systemd_it_has_no_effect(environ: dict[str, str]) -> None:
    """Started by hand, nobody is told."""
    service = Service(environ)
    service.ready()
    service.status("protecting")
    service.stopping()


@pytest.mark.parametrize("address", ["/nonexistent/notify", "@kvmla-nobody", "/" + "x" * 200])
def test_nobody_who_listens_is_no_error(address: str) -> None:
    """systemd restarts, perhaps; the daemon goes on."""
    before = open_descriptors()
    Service({"NOTIFY_SOCKET": address}).ready()
    assert open_descriptors() <= before


def test_a_full_socket_does_not_hold_up_the_daemon(manager: socket.socket) -> None:
    """What does not fit is dropped."""
    service = service_of(manager)
    for _ in range(2000):
        service.ready()
    assert 0 < len(heard(manager)) < 2000


async def test_the_watchdog_hears_from_it(manager: socket.socket) -> None:
    """Three times in the time that it has, beginning at once."""
    service = service_of(manager, WATCHDOG_USEC="150000", WATCHDOG_PID=str(os.getpid()))
    assert service.watchdog_seconds == 0.15
    loop = asyncio.get_running_loop()
    manager.setblocking(False)
    living = loop.create_task(service.live())
    times = []
    for _ in range(4):
        assert await asyncio.wait_for(loop.sock_recv(manager, 100), DEADLINE) == b"WATCHDOG=1"
        times.append(loop.time())
    living.cancel()
    assert times[3] - times[0] >= 0.14


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
async def test_a_watchdog_that_wants_nothing_hears_nothing(
    manager: socket.socket, environ: dict[str, str]
) -> None:
    """Or one that watches another process; it returns at once."""
    service = service_of(manager, **environ)
    assert service.watchdog_seconds == 0.0
    await asyncio.wait_for(service.live(), DEADLINE)
    assert heard(manager) == []


def test_a_watchdog_without_a_process_means_this_one(manager: socket.socket) -> None:
    """As systemd says it."""
    assert service_of(manager, WATCHDOG_USEC="3000000").watchdog_seconds == 3.0
