"""Scans that an SVM orders of `guest-stub run`, on the real kernel, in a mount namespace of their own."""

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lightagent.v1 import guest_pb2

from guest_stub.outcome import Outcome
from tests.support.apart import ROOT, environment
from tests.support.contents import EICAR
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving
from tests.support.held_files import until
from tests.support.on_access_apart import watching
from tests.support.protected import Protected, protected

pytestmark = watching

SCAN = bytes(range(16))
LARGE = 48 << 20
LARGE_FILES = 6
# A tree that takes a while to read; all but two files are of one content.
TREE = (
    f'for i in $(seq {LARGE_FILES}); do head -c {LARGE} /dev/zero > "$1/large$i"; done; mkdir "$1/d"; '
    'for i in $(seq 300); do echo $i > "$1/d/f$i"; done'
)
SMALL = 'mkdir "$1/d"; for i in $(seq 20); do echo $i > "$1/d/f$i"; done'
FILES = LARGE_FILES + 300


def task(*paths: bytes, cancelled: bool = False) -> guest_pb2.ScanTask:
    """An order."""
    return guest_pb2.ScanTask(scan=SCAN, paths=paths, cancelled=cancelled)


@asynccontextmanager
async def svm(directory: Path, grants: bool = True, **behaviour: object) -> AsyncIterator[GuestSideServer]:
    """An SVM without engines that knows all of the tree, and has ordered a scan."""
    async with serving(directory / "svm.sock", Behaviour(grants=grants, tasks=[task()], **behaviour)) as it:  # type: ignore[arg-type]
        it.known[hashlib.sha256(bytes(LARGE)).digest()] = Outcome.NOT_DETECTED
        for number in range(1, 301):
            it.known[hashlib.sha256(b"%d\n" % number).digest()] = Outcome.NOT_DETECTED
        yield it


def silent(_: guest_pb2.CheckRequest) -> list[guest_pb2.CheckReply]:
    """Says nothing, so that a scan cannot end."""
    return []


def target(directory: Path) -> str:
    """Where it listens."""
    return f"unix:{directory}/svm.sock"


def bytes_read(machine: Protected) -> int:
    """What the stub has read so far, from whatever file."""
    io = Path(f"/proc/{machine.process.pid}/io").read_text()
    return int(dict(line.split(": ") for line in io.splitlines())["rchar"])


async def in_the_midst(machine: Protected) -> None:
    """The scan reads, and has much to read yet."""
    before = bytes_read(machine)
    await until(lambda: bytes_read(machine) > before + 4 * 1024 * 1024)


async def stands_still(machine: Protected) -> int:
    """How much was read when nothing more is; the scan would be through by then if it went on."""
    same, last = 0, -1
    while same < 20:
        now = bytes_read(machine)
        same, last = (same + 1, last) if now == last else (0, now)
        await asyncio.sleep(0.05)
    return last


async def ends(server: GuestSideServer) -> guest_pb2.ScanStatus:
    """How the scan has ended."""
    await until(lambda: server.states(SCAN)[-1:] not in ([], ["WAITING"], ["RUNNING"]))
    return server.scans[-1]


async def test_everything_that_is_protected_is_scanned(tmp_path: Path) -> None:
    """What is left alone is the stub's own directory, and what the settings exclude."""
    settings = 'exclude = ["f7"]\n[on_access]\nexclude = ["f8"]\n'
    state = ("--state", f"{tmp_path}/top/state")
    async with (
        svm(tmp_path) as server,
        protected(tmp_path, target(tmp_path), *state, settings=settings, prepare=SMALL) as machine,
    ):
        ended = await ends(server)
        assert server.states(SCAN) == ["WAITING", "RUNNING", "DONE"]
        assert (ended.files, ended.malicious, ended.unanswered, ended.text) == (18, 0, 0, "")
        await machine.says("an ordered scan has ended: done, 18 files")
        await server.tell(guest_pb2.AttachReply(scan_task=guest_pb2.ScanTask(scan=bytes(16))))
        await until(lambda: server.states(bytes(16))[-1:] == ["DONE"])
        assert server.scans[-1].expected_files == 18


async def test_what_is_detected_is_quarantined(tmp_path: Path) -> None:
    """As on access, by the policy; the scan itself counts it. No library is loaded for it: to load one the
    interpreter is held, which the thread that answers needs.
    """
    prepare = f"""{SMALL}; printf '%s' '{EICAR.decode()}' > "$1/d/bad.com" """
    settings = '[on_access]\naction = "quarantine"\n'
    async with svm(tmp_path) as server:
        server.known[hashlib.sha256(EICAR).digest()] = Outcome.MALICIOUS
        server.behaviour.grants = False
        async with protected(tmp_path, target(tmp_path), settings=settings, prepare=prepare) as machine:
            await until(lambda: server.states(SCAN) == ["WAITING"])
            before = machine.libraries()
            await server.grant(SCAN)
            ended = await ends(server)
            assert (ended.state, ended.files, ended.malicious) == (guest_pb2.SCAN_STATE_DONE, 21, 1)
            await machine.says(f"quarantined {machine.top}/d/bad.com")
            assert not machine.outside("d/bad.com").exists()
            assert machine.libraries() == before


async def test_without_its_slot_nothing_is_read(tmp_path: Path) -> None:
    """Before it has one, and when it is taken back in the midst; then it goes on to the right sum."""
    async with (
        svm(tmp_path, grants=False) as server,
        protected(tmp_path, target(tmp_path), prepare=TREE) as machine,
    ):
        await until(lambda: server.states(SCAN) == ["WAITING"])
        before = await stands_still(machine)
        await server.grant(SCAN)
        await in_the_midst(machine)
        await server.grant(SCAN, granted=False)
        await until(lambda: server.states(SCAN) == ["WAITING", "RUNNING", "WAITING"])
        paused = await stands_still(machine) - before
        assert paused < LARGE * LARGE_FILES
        await server.grant(SCAN)
        ended = await ends(server)
        assert (ended.state, ended.files) == (guest_pb2.SCAN_STATE_DONE, FILES)
        assert bytes_read(machine) - before >= LARGE * LARGE_FILES


async def test_a_scan_that_is_called_off_ends(tmp_path: Path) -> None:
    """In the midst."""
    async with (
        svm(tmp_path, on_check=silent) as server,
        protected(tmp_path, target(tmp_path), prepare=TREE) as machine,
    ):
        await until(lambda: server.states(SCAN)[-1:] == ["RUNNING"])
        await server.tell(guest_pb2.AttachReply(scan_task=task(cancelled=True)))
        ended = await ends(server)
        assert (ended.state, ended.text) == (guest_pb2.SCAN_STATE_CANCELLED, "it was called off")
        await machine.says("an ordered scan has ended: cancelled")


async def test_without_an_svm_it_pauses_and_goes_on_with_the_next(tmp_path: Path) -> None:
    """Which orders it again: that is the same scan, and needs a slot anew."""
    async with (
        svm(tmp_path, on_check=silent) as first,
        protected(tmp_path, target(tmp_path), prepare=TREE) as machine,
    ):
        await until(lambda: first.states(SCAN) == ["WAITING", "RUNNING"])
        first.behaviour.grants = False
        first.end_attach()
        await machine.says("the SVM is gone")
        first.behaviour.on_check = None
        await until(lambda: first.states(SCAN) == ["WAITING", "RUNNING", "WAITING"])
        await stands_still(machine)
        await first.grant(SCAN)
        ended = await ends(first)
        assert (ended.state, ended.files) == (guest_pb2.SCAN_STATE_DONE, FILES)
        assert sum("a scan was ordered" in line for line in machine.said) == 1


async def test_a_killed_stub_begins_anew(tmp_path: Path) -> None:
    """kill -9 in the midst: the SVM orders it again of the next one, which ends it with the whole sum."""
    async with (
        svm(tmp_path, on_check=silent) as server,
        protected(tmp_path, target(tmp_path), prepare=TREE) as machine,
    ):
        holder = await machine.start("sleep", "600")
        await until(lambda: server.states(SCAN) == ["WAITING", "RUNNING"])
        machine.process.kill()
        await machine.process.wait()
        server.behaviour.on_check = None
        assert "DONE" not in server.states(SCAN)
        again = await asyncio.create_subprocess_exec(
            "nsenter", f"--target={holder.pid}", "--mount", "--", sys.executable, "-m", "guest_stub", "run",
            "--svm", server.target, "--state", str(tmp_path / "stub"), "--watch", str(machine.top),
            "--config", str(tmp_path / "guest-stub.toml"),
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, cwd=ROOT, env=environment(),
        )  # fmt: skip
        try:
            ended = await ends(server)
            assert (ended.state, ended.files) == (guest_pb2.SCAN_STATE_DONE, FILES)
            assert len(server.hellos) == 2
        finally:
            again.send_signal(signal.SIGTERM)
            assert await again.wait() == 0
            holder.kill()
            await holder.wait()


async def test_the_stub_ends_in_the_midst_of_a_scan(tmp_path: Path) -> None:
    """Also in a pause, in which its threads wait."""
    async with (
        svm(tmp_path, on_check=silent) as server,
        protected(tmp_path, target(tmp_path), prepare=TREE) as machine,
    ):
        await until(lambda: server.states(SCAN)[-1:] == ["RUNNING"])
        server.behaviour.grants = False
        await server.grant(SCAN, granted=False)
        await until(lambda: server.states(SCAN)[-1:] == ["WAITING"])
        assert await machine.stop() == 0
        assert server.states(SCAN)[-1] == "WAITING"


@pytest.mark.parametrize("there", [True, False])
async def test_paths_can_be_named(tmp_path: Path, there: bool) -> None:
    """One that is not there makes the scan incomplete, and the others are scanned."""
    async with svm(tmp_path) as server:
        top = os.fsencode(tmp_path / "top")
        server.behaviour.tasks = [task(top + b"/d/f1", *([] if there else [top + b"/none"]))]
        async with protected(tmp_path, target(tmp_path), prepare=SMALL):
            ended = await ends(server)
            assert ended.files == 1
            if there:
                assert ended.state == guest_pb2.SCAN_STATE_DONE
            else:
                assert ended.state == guest_pb2.SCAN_STATE_INCOMPLETE
                assert ended.text == f"{tmp_path}/top/none is not there"
