"""What a hostile process tries against `guest-stub run`, on the real kernel, against a real `svm serve`."""

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.commands import svm_program
from tests.support.contents import EICAR
from tests.support.held_files import until
from tests.support.protected import Protected, protected
from tests.support.svm_process import SvmProcess, svm_process

EPERM = "Operation not permitted"
# Moves the times of a file, which its owner may, until it is ended.
MOVES = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
os.write(1, b"ready")
while True:
    for mode in (0o755, 0o711):
        os.fchmod(fd, mode)
        os.utime(fd)
"""


# Opens files of just under 1 MiB that it changes over and over, sixty at a time, until it is ended.
FLOODS = """
import os, sys, threading
def flood(path):
    size = (1 << 20) - 100
    while True:
        for less in range(7):
            os.truncate(path, size - less)
            os.close(os.open(path, os.O_RDONLY))
for number in range(60):
    path = f"{sys.argv[1]}/{number}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    os.chown(path, 12345, 12345)
    threading.Thread(target=flood, args=(path,)).start()
print("ready", flush=True)
"""


@pytest.fixture
def svm(tmp_path: Path) -> Iterator[SvmProcess]:
    """A serving SVM."""
    (tmp_path / "svm").mkdir()
    with svm_process(tmp_path / "svm") as process:
        yield process


def settings(*lines: str) -> str:
    """Of [on_access]."""
    return "\n".join(["[on_access]", *lines])


async def block(svm: SvmProcess, content: bytes) -> None:
    """Have the SVM call a content malicious."""
    words = ("set", hashlib.sha256(content).hexdigest(), "--block", "--reason", "a test")
    admin = {"KVMLA_ADMIN_SOCKET": f"{svm.directory}/admin.sock"}
    ran = await asyncio.to_thread(svm_program, "verdicts", *words, environ=admin)
    assert ran.code == 0, ran.err


async def denied(machine: Protected, path: Path) -> bool:
    """Whether somebody who opens a file is refused."""
    ran = await machine.run("cat", path)
    assert ran.code == 0 or EPERM in ran.err
    return ran.code != 0


@asynccontextmanager
async def moving(path: Path) -> AsyncIterator[None]:
    """Somebody moves the times of a file meanwhile, who got hold of it while it was empty."""
    await asyncio.to_thread(path.write_bytes, b"")
    process = await asyncio.create_subprocess_exec(
        "python3", "-c", MOVES, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readexactly(5) == b"ready"
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_whose_times_somebody_moves_is_denied_all_the_same(svm: SvmProcess, tmp_path: Path) -> None:
    """What is malicious; what is harmless is let through, not by the fail mode."""
    async with protected(tmp_path, svm.target, settings=settings('open_on_failure = "deny"')) as machine:
        await machine.says("the SVM answers")
        async with moving(machine.outside("good")):
            await machine.write("good", b"harmless")
            assert [await denied(machine, machine.top / "good") for _ in range(10)] == [False] * 10
    async with protected(tmp_path, svm.target) as machine:
        await machine.says("the SVM answers")
        async with moving(machine.outside("bad.com")):
            await machine.write("bad.com", EICAR)
            assert [await denied(machine, machine.top / "bad.com") for _ in range(20)] == [True] * 20


async def test_a_program_whose_times_somebody_moves_is_not_started(svm: SvmProcess, tmp_path: Path) -> None:
    """In block-exec; and it is taken away, though its times move while it is."""
    program = b"#!/bin/sh\n# an unlucky one\necho RAN\n"
    await block(svm, program)
    options = settings('action = "quarantine"')
    async with protected(tmp_path, svm.target, "--mode", "block-exec", settings=options) as machine:
        await machine.says("the SVM answers")
        for number in range(5):
            path = machine.outside(f"bad{number}")
            async with moving(path):
                await machine.write(f"bad{number}", program)
                ran = await machine.run("sh", "-c", f"exec {machine.top}/bad{number}")
                assert "RAN" not in ran.out
                await machine.says(f"quarantined {machine.top}/bad{number}")
            assert not path.exists()


async def test_no_flood_of_small_files_keeps_a_large_one_waiting(svm: SvmProcess, tmp_path: Path) -> None:
    """A malicious file of 2 MiB is denied amid them, and not let through by the fail mode."""
    large = b"M" * (2 << 20)
    await block(svm, large)
    async with protected(tmp_path, svm.target, settings=settings("open_seconds = 5")) as machine:
        await machine.says("the SVM answers")
        await machine.run("mkdir", machine.top / "flood")
        flood = await machine.start("python3", "-c", FLOODS, machine.top / "flood")
        try:
            assert flood.stdout is not None
            assert await flood.stdout.readline() == b"ready\n"
            for number in range(3):
                await machine.write(f"large{number}", large)
                assert await denied(machine, machine.top / f"large{number}")
        finally:
            flood.kill()
            await flood.communicate()


async def test_nobody_hides_a_file_behind_hundreds_of_others(svm: SvmProcess, tmp_path: Path) -> None:
    """Of another content that has the same threat's name: it is named in the log, and taken in its turn."""
    chaff, real = b"chaff", b"the real one"
    for content in (chaff, real):
        await block(svm, content)
    async with protected(tmp_path, svm.target, settings=settings('action = "quarantine"')) as machine:
        await machine.says("the SVM answers")
        script = f"for i in $(seq 400); do printf chaff > $1/$i; done; printf '{real.decode()}' > $1/real"
        await machine.run("sh", "-c", script, "sh", machine.top)
        line = await machine.says(f"found {machine.top}/real")
        assert hashlib.sha256(real).hexdigest() in line
        await machine.says(f"quarantined {machine.top}/real")


# A user in namespaces of his own, with $1 at /mnt.
IN_HIS_OWN = ("unshare", "-Urm", "sh", "-c", 'mount --bind "$1" /mnt && eval "$2"', "sh")


@pytest.mark.parametrize("action", ["quarantine", "delete"])
async def test_a_user_has_no_excluded_file_destroyed_through_a_mount_of_his_own(
    svm: SvmProcess, tmp_path: Path, action: str
) -> None:
    """He is denied; the file stays whole, also when it was looked for."""
    options = settings(f'action = "{action}"', 'exclude = ["*/samples"]')
    async with protected(tmp_path, svm.target, settings=options) as machine:
        await machine.says("the SVM answers")
        await machine.run("mkdir", machine.top / "samples")
        await machine.write("samples/one", EICAR)
        opened = await machine.run(*IN_HIS_OWN, machine.top / "samples", "cat /mnt/one")
        assert EPERM in opened.err
        await machine.says("it was reached by way of a mount that the stub does not have")
        left = tmp_path / "stub" / "journal"
        await until(lambda: not left.stat().st_size and not left.with_name("journal.replaying").exists())
        assert machine.outside("samples/one").read_bytes() == EICAR
        assert await machine.stop() == 0
        assert "acted_on 0" in await machine.says("elsewhere 1")


async def test_what_lies_where_nothing_is_excluded_is_found_and_taken(
    svm: SvmProcess, tmp_path: Path
) -> None:
    """By whatever mount it was reached, as in a container."""
    options = settings('action = "quarantine"', 'exclude = ["*/samples"]')
    async with protected(tmp_path, svm.target, settings=options) as machine:
        await machine.says("the SVM answers")
        await machine.run("mkdir", machine.top / "others")
        script = f"printf '%s' '{EICAR.decode()}' > /mnt/new"
        await machine.run(*IN_HIS_OWN, machine.top / "others", script)
        await machine.says(f"quarantined {machine.top}/others/new")


async def test_known_malware_is_denied_without_an_svm_whatever_is_done_with_its_file(tmp_path: Path) -> None:
    """Its times, its name, another copy; by this run of the stub and the next."""
    (tmp_path / "svm").mkdir()
    target = f"unix:{tmp_path}/svm/svm.sock"
    async with protected(tmp_path, target) as machine:
        with svm_process(tmp_path / "svm"):
            await machine.says("the SVM answers")
            await machine.write("bad", EICAR)
            assert await denied(machine, machine.top / "bad")
        await machine.says("the SVM is gone")
        await machine.run("chmod", "600", machine.top / "bad")
        assert await denied(machine, machine.top / "bad")
        await machine.run("mv", machine.top / "bad", machine.top / "moved")
        assert await denied(machine, machine.top / "moved")
        await machine.write("copy", EICAR)
        assert await denied(machine, machine.top / "copy")
        await machine.write("unknown", b"nobody can say")
        assert not await denied(machine, machine.top / "unknown")
        await machine.stop(signal.SIGKILL)
    async with protected(tmp_path, target) as machine:
        await machine.write("copy", EICAR)
        assert await denied(machine, machine.top / "copy")


async def test_known_malware_is_denied_while_the_svm_hangs(svm: SvmProcess, tmp_path: Path) -> None:
    """When the time of who waits is over."""
    async with protected(tmp_path, svm.target, settings=settings("open_seconds = 1")) as machine:
        await machine.says("the SVM answers")
        await machine.write("bad", EICAR)
        assert await denied(machine, machine.top / "bad")
        svm.process.send_signal(signal.SIGSTOP)
        try:
            await machine.write("copy", EICAR)
            assert await denied(machine, machine.top / "copy")
        finally:
            svm.process.send_signal(signal.SIGCONT)
