"""Which machines have a channel, and who attends to it: over real sockets, with a libvirt of the test's."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from appliance.hypervisor.attest import enrolling as module
from appliance.hypervisor.attest.enrolling import Enrolling, enrols
from appliance.hypervisor.changes import Changes, VmGone, VmSeen
from appliance.hypervisor.serving import Serving
from appliance.hypervisor.settings import EnrolmentSettings, HostSettings
from appliance.hypervisor.virt.channels import Plugged
from appliance.hypervisor.virt.connection import VirtError
from appliance.hypervisor.vm import Marks, Power, Vm
from tests.support.held_files import until

URI = "test:///default"
NAMES = ("web-1", "web-2")
UUIDS = tuple(f"6ba7b810-9dad-11d1-80b4-00c04fd430c{number}" for number in range(2))
ASK = {"version": 1, "nonce": "0" * 32, "key_sha256": "1" * 64}
AUTOMATIC = EnrolmentSettings(automatic=True, exclude=("lab-*",))


def seen(number: int = 0, power: Power = Power.RUNNING, **more: Any) -> VmSeen:
    """A machine of the host."""
    return VmSeen(URI, Vm(UUIDS[number], NAMES[number], power), **more)


@pytest.mark.parametrize(
    ("settings", "machine", "does"),
    [
        (AUTOMATIC, seen(), True),
        (EnrolmentSettings(), seen(), False),
        (AUTOMATIC, seen(excluded=True), False),
        (AUTOMATIC, seen(sure=False), False),
        (AUTOMATIC, VmSeen(URI, Vm("u", "lab-7", Power.RUNNING)), False),
        (AUTOMATIC, VmSeen(URI, Vm("u", "v", Power.RUNNING, marks=Marks(excluded=True))), False),
        (AUTOMATIC, VmSeen(URI, Vm("u", "v", Power.RUNNING, marks=Marks(svm=True))), False),
    ],
)
def test_whose_enrolment_is_meant(settings: EnrolmentSettings, machine: VmSeen, does: bool) -> None:
    """All where it is automatic, but those that are left out or of whom nobody is sure, and SVMs."""
    assert enrols(settings, machine) is does


class Host:
    """libvirt and QEMU: sockets on which one of the test listens. problem: what libvirt says instead."""

    def __init__(self, directory: Path) -> None:
        self.problem = ""
        self.plugged: list[str] = []
        self.tokens: list[Any] = []
        self._directory = directory
        self._listening: dict[str, socket.socket] = {}

    async def ask(self, question: Callable[[Any], Plugged]) -> Plugged:
        """See HostLine."""
        return question(self)

    def plug(self, uuid: str) -> Plugged:
        """Where a machine's socket is."""
        self.plugged.append(uuid)
        if self.problem:
            raise VirtError(self.problem)
        return Plugged(self._path(uuid) if uuid in self._listening else None, added=False)

    def start(self, number: int) -> None:
        """The machine runs."""
        path = self._path(UUIDS[number])
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(1)
        listening.setblocking(False)
        self._listening[UUIDS[number]] = listening

    def stop(self, number: int) -> None:
        """It does not."""
        self._listening.pop(UUIDS[number]).close()

    async def machine(self, number: int) -> socket.socket:
        """The machine's end, when the host agent has come to it."""
        async with asyncio.timeout(30):
            end, _ = await asyncio.get_running_loop().sock_accept(self._listening[UUIDS[number]])
        return end

    def _path(self, uuid: str) -> Path:
        return self._directory / uuid[-2:] / "enrol.0"

    def close(self) -> None:
        """All of them are off."""
        for listening in self._listening.values():
            listening.close()


class Svm:
    """Makes tokens."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def ask(self, call: Callable[[Any], Any]) -> Any:
        """A token for whatever is asked."""
        return call(self)

    def create_token(self, request: Any) -> Any:
        """One with a number."""
        self.asked.append(request)
        return SimpleNamespace(
            token=f"token-{len(self.asked)}", guests="h:1", enrolment="h:2", authority_sha256=b"f" * 32
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host without pauses."""
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "plug", lambda host, uuid: host.plug(uuid))
    running = Host(tmp_path)
    yield running
    running.close()


@asynccontextmanager
async def enrolling(host: Host) -> AsyncIterator[tuple[Changes, Svm]]:
    """The part, at work."""
    svm, changes = Svm(), Changes()
    settings = replace(HostSettings(), enrolment=AUTOMATIC)
    part = Enrolling(Serving(settings, {URI: cast(Any, host)}, changes, cast(Any, svm)))
    task = asyncio.get_running_loop().create_task(part.run())
    try:
        yield changes, svm
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def answered(machine: socket.socket) -> dict[str, Any]:
    """What a machine gets when it asks."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        await loop.sock_sendall(machine, json.dumps(ASK).encode() + b"\n")
        said: dict[str, Any] = json.loads(await loop.sock_recv(machine, 4096))
    return said


async def test_a_machine_that_runs_is_attended_to(host: Host) -> None:
    """Its token is for its UUID and tenant, and not where it was revoked."""
    host.start(0)
    async with enrolling(host) as (changes, svm):
        changes.publish(seen(tenant="acme"))
        with await host.machine(0) as machine:
            assert (await answered(machine))["token"] == "token-1"
    (request,) = svm.asked
    assert (request.uuid, request.tenant, request.not_revoked) == (UUIDS[0], "acme", True)
    assert request.key_sha256.hex() == ASK["key_sha256"]


async def test_one_that_is_silent_delays_no_other(host: Host) -> None:
    """Nor one that floods and reads nothing."""
    for number in range(2):
        host.start(number)
    async with enrolling(host) as (changes, _):
        for number in range(2):
            changes.publish(seen(number))
        with await host.machine(0) as bad, await host.machine(1) as good:
            with suppress(BlockingIOError):
                while True:
                    bad.send(b"x" * 65536)
            assert "token" in await answered(good)


async def test_a_machine_that_starts_anew_is_attended_to_anew(host: Host) -> None:
    """Its old socket is gone with its QEMU; what it may ask for is not begun anew."""
    host.start(0)
    async with enrolling(host) as (changes, _):
        changes.publish(seen())
        with await host.machine(0) as machine:
            for _ in range(5):
                assert "token" in await answered(machine)
        host.stop(0)
        changes.publish(seen(power=Power.OFF))
        host.start(0)
        changes.publish(seen(started=True))
        with await host.machine(0) as machine:
            assert "refused" in await answered(machine)


async def test_one_that_is_off_has_a_channel_for_its_next_start(host: Host) -> None:
    """Nobody waits at it meanwhile."""
    async with enrolling(host) as (changes, _):
        changes.publish(seen(power=Power.OFF))
        await until(lambda: host.plugged == [UUIDS[0]])
        host.start(0)
        changes.publish(seen(started=True))
        with await host.machine(0) as machine:
            assert "token" in await answered(machine)


async def test_a_host_that_is_gone_for_a_while_is_asked_again(host: Host) -> None:
    """libvirtd was started anew; the machines ran on."""
    host.start(0)
    host.problem = "libvirt at test is not connected now"
    async with enrolling(host) as (changes, _):
        changes.publish(seen())
        await until(lambda: len(host.plugged) >= 3)
        host.problem = ""
        with await host.machine(0) as machine:
            assert "token" in await answered(machine)


async def test_one_that_is_gone_or_left_out_is_let_go_of(host: Host) -> None:
    """Its channel is closed, and nobody answers on it."""
    for number in range(2):
        host.start(number)
    async with enrolling(host) as (changes, svm):
        for number in range(2):
            changes.publish(seen(number))
        with await host.machine(0) as first, await host.machine(1) as second:
            changes.publish(VmGone(URI, UUIDS[0]))
            changes.publish(seen(1, excluded=True))
            for machine in (first, second):
                async with asyncio.timeout(30):
                    assert await asyncio.get_running_loop().sock_recv(machine, 100) == b""
    assert svm.asked == []


async def test_a_second_host_agent_waits_for_the_first(host: Host) -> None:
    """It takes over when that one ends, and meanwhile no machine is answered twice."""
    host.start(0)
    async with enrolling(host) as (second, second_svm):
        async with enrolling(host) as (first, svm):
            first.publish(seen())
            with await host.machine(0) as machine:
                tries = len(host.plugged)
                second.publish(seen())
                await until(lambda: len(host.plugged) > tries + 1)
                assert "token" in await answered(machine)
        with await host.machine(0) as machine:
            assert "token" in await answered(machine)
    assert (len(svm.asked), len(second_svm.asked)) == (1, 1)
