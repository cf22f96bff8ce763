"""A digest turns malicious: files that lie in guests with it are found, on the real kernel, by a real SVM."""

import asyncio
import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest_stub.sought import Sought
from tests.support.apart import ROOT, environment
from tests.support.commands import svm_program
from tests.support.held_files import DEADLINE, until
from tests.support.protected import Protected, lasting, protected
from tests.support.stub_program import ended, start
from tests.support.svm_process import SvmProcess, svm_process

CONTENT = b"harmless, they said"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUARANTINES = '[on_access]\naction = "quarantine"'


@pytest.fixture
def svm(tmp_path: Path) -> Iterator[SvmProcess]:
    """A serving SVM."""
    (tmp_path / "svm").mkdir()
    with svm_process(tmp_path / "svm") as process:
        yield process


async def administer(svm: SvmProcess, *words: str) -> str:
    """Run `svm` with these words; what it says."""
    admin = {"KVMLA_ADMIN_SOCKET": f"{svm.directory}/admin.sock"}
    ran = await asyncio.to_thread(svm_program, *words, environ=admin)
    assert ran.code == 0, ran.err
    return ran.out


async def block(svm: SvmProcess) -> None:
    """Have an administrator call the content malicious."""
    await administer(svm, "verdicts", "set", DIGEST, "--block", "--reason", "it is not")


async def allowed(machine: Protected, name: str = "file", content: bytes = CONTENT) -> None:
    """Have a file opened and allowed."""
    await machine.says("the SVM answers")
    await machine.write(name, content)
    assert (await machine.run("cat", machine.top / name)).code == 0


async def test_a_file_that_lies_there_is_quarantined_and_comes_back(svm: SvmProcess, tmp_path: Path) -> None:
    """Nobody opens it; a file that differs stays, and when the word is taken back the file is there again."""
    async with protected(tmp_path, svm.target, settings=QUARANTINES) as machine:
        await allowed(machine, "other", b"another")
        await allowed(machine)
        await block(svm)
        await machine.says(f"quarantined {machine.top}/file: Blocked.By.Administrator")
        assert (await machine.run("ls", machine.top)).out == "other\n"
        await administer(svm, "verdicts", "set", DIGEST, "--allow", "--reason", "it is, after all")
        await machine.says(f"restored {machine.top}/file")
        assert (await machine.run("cat", machine.top / "file")).out == CONTENT.decode()


async def test_a_process_that_has_it_open_is_named(svm: SvmProcess, tmp_path: Path) -> None:
    """By number, as by a block it can go on; the file is reported where it lies."""
    async with protected(tmp_path, svm.target) as machine:
        await allowed(machine)
        reader = await machine.start("sh", "-c", f"exec 3< {machine.top}/file; echo; exec sleep 60")
        assert reader.stdout is not None
        await reader.stdout.readline()
        await block(svm)
        await machine.says(f"process {reader.pid} has {machine.top}/file open")
        await machine.says(f"found {machine.top}/file: Blocked.By.Administrator")
        reader.kill()
        await reader.wait()


async def test_a_guest_that_was_not_there_is_told_when_it_attaches(tmp_path: Path) -> None:
    """Though the SVM was started anew meanwhile, too."""
    (tmp_path / "svm").mkdir()
    async with lasting(tmp_path) as within:
        with svm_process(tmp_path / "svm") as svm:
            async with protected(tmp_path, svm.target, settings=QUARANTINES, within=within) as machine:
                await allowed(machine)
                assert await machine.stop() == 0
            await block(svm)
        with svm_process(tmp_path / "svm") as svm:
            async with protected(tmp_path, svm.target, settings=QUARANTINES, within=within) as machine:
                await machine.says(f"quarantined {machine.top}/file")


async def test_a_stub_that_is_killed_before_it_has_looked_looks_when_it_is_back(
    svm: SvmProcess, tmp_path: Path
) -> None:
    """The records are gone by then; what is to be looked for was written before they went."""
    async with lasting(tmp_path) as within:
        async with protected(
            tmp_path, svm.target, settings=QUARANTINES, environ=_killed_seeking(), within=within
        ) as machine:
            await allowed(machine)
            await block(svm)
            assert await asyncio.wait_for(machine.process.wait(), DEADLINE) == -signal.SIGKILL
            assert not [line for line in machine.said if "quarantined" in line]
        sought = Sought(tmp_path / "stub")
        assert sought.waiting
        async with protected(tmp_path, svm.target, settings=QUARANTINES, within=within) as machine:
            await machine.says(f"quarantined {machine.top}/file")
            await until(lambda: not sought.waiting)


def _killed_seeking() -> dict[str, str]:
    """The environment of a stub that is killed when it begins to look for what it noted."""
    return {"PYTHONPATH": f"{ROOT / 'tests/support/killed_seeking'}:{environment()['PYTHONPATH']}"}


async def scanned(svm: SvmProcess, directory: Path) -> None:
    """Have another guest find the content malicious."""
    scan = await ended(
        await start("scan", directory, "--svm", svm.target, "--state", directory.with_suffix(".state"))
    )
    assert scan.code == 1, scan.err


@pytest.mark.parametrize("away", [False, True])
async def test_what_new_signatures_find_in_one_guest_is_looked_for_in_another(
    tmp_path: Path, away: bool
) -> None:
    """Once somebody has shown the content again; away: to an SVM that was killed then, and by a guest that
    comes back after that.
    """
    lists, elsewhere = tmp_path / "lists", tmp_path / "elsewhere"
    for directory in (tmp_path / "svm", lists, elsewhere):
        directory.mkdir()
    (elsewhere / "copy").write_bytes(CONTENT)
    (lists / "mine.txt").write_text("0" * 64 + "\n")
    async with lasting(tmp_path) as within:
        with svm_process(tmp_path / "svm", hashlists=lists) as svm:
            async with protected(tmp_path, svm.target, settings=QUARANTINES, within=within) as machine:
                await allowed(machine)
                if away:
                    assert await machine.stop() == 0
                (lists / "mine.txt").write_text(f"{DIGEST}\n")
                await administer(svm, "signatures", "reload")
                await scanned(svm, elsewhere)
                if not away:
                    await machine.says(f"quarantined {machine.top}/file")
                    return
                while "another answer counts now" not in await administer(svm, "events"):
                    pass
        with svm_process(tmp_path / "svm", hashlists=lists) as svm:
            async with protected(tmp_path, svm.target, settings=QUARANTINES, within=within) as machine:
                await machine.says(f"quarantined {machine.top}/file")
