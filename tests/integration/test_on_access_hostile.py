"""What a hostile process tries against `guest-stub run`, on the real kernel, against a real `svm serve`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.commands import svm_program
from tests.support.contents import EICAR
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
