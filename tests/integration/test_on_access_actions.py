"""What `guest-stub run` does about detections, on the real kernel, against a real `svm serve`."""

import asyncio
import hashlib
import os
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import svm_program
from tests.support.contents import EICAR
from tests.support.protected import Protected, protected
from tests.support.svm_process import SvmProcess, svm_process

DIGEST = hashlib.sha256(EICAR).hexdigest()
# Modules of `cryptography`, and all that it loads, come from the file system that is watched.
COPIED = (
    f'mkdir "$1/site" && cp -r {sysconfig.get_path("platlib")}/cryptography '
    f'{sysconfig.get_path("platlib")}/_cffi_backend* "$1/site" && export PYTHONPATH="$1/site:$PYTHONPATH"'
)


@pytest.fixture
def svm(tmp_path: Path) -> Iterator[SvmProcess]:
    """A serving SVM."""
    (tmp_path / "svm").mkdir()
    with svm_process(tmp_path / "svm") as process:
        yield process


def action(word: str, *more: str) -> str:
    """Settings."""
    return "\n".join(["[on_access]", f'action = "{word}"', *more])


async def administer(svm: SvmProcess, *words: str) -> None:
    """Run `svm verdicts`."""
    admin = {"KVMLA_ADMIN_SOCKET": f"{svm.directory}/admin.sock"}
    ran = await asyncio.to_thread(svm_program, "verdicts", *words, environ=admin)
    assert ran.code == 0, ran.err


async def denied(machine: Protected, name: str) -> bool:
    """Whether somebody who opens a file is refused."""
    ran = await machine.run("cat", machine.top / name)
    return "Operation not permitted" in ran.err


async def test_what_is_detected_is_quarantined_and_comes_back_when_it_is_allowed(
    svm: SvmProcess, tmp_path: Path
) -> None:
    """With the quarantine, and the libraries that it needs, on the file system that is watched: the stub
    never waits on itself. An administrator's word brings the file back as it was, and it can be opened.
    """
    state = f"{tmp_path}/top/state"
    async with protected(
        tmp_path, svm.target, "--state", state, settings=action("quarantine"), prepare=COPIED
    ) as machine:
        await machine.says("the SVM answers")
        assert any(f"{machine.top}/site/cryptography" in path for path in machine.libraries())
        await machine.write("bad.com", EICAR)
        await asyncio.to_thread(os.chmod, machine.outside("bad.com"), 0o741)
        assert await denied(machine, "bad.com")
        line = await machine.says(f"quarantined {machine.top}/bad.com")
        assert re.search(r"Eicar-Test-Signature; guest-stub quarantine show [0-9a-f]{12}$", line)
        assert (await machine.run("ls", machine.top)).out == "site\nstate\n"
        await administer(svm, "set", DIGEST, "--allow", "--reason", "a false positive")
        await machine.says(f"restored {machine.top}/bad.com: SHA-256 {DIGEST} is clean now")
        back = await machine.run("sh", "-c", f"cat {machine.top}/bad.com && stat -c %a {machine.top}/bad.com")
        assert (back.code, back.out) == (0, f"{EICAR.decode()}741\n")


async def test_nothing_is_loaded_after_the_start(svm: SvmProcess, tmp_path: Path) -> None:
    """No library, whatever happens: to load one the interpreter is held, which the reader needs."""
    async with protected(tmp_path, svm.target, settings=action("quarantine")) as machine:
        await machine.says("the SVM answers")
        before = machine.libraries()
        for number in range(3):
            await machine.write(f"bad{number}", EICAR + b"%d" % number)
        await machine.write("bad.com", EICAR)
        assert await denied(machine, "bad.com")
        await machine.says(f"quarantined {machine.top}/bad.com")
        await machine.run("sh", "-c", f"printf '%s' '{EICAR.decode()}' > {machine.top}/written")
        await machine.says(f"quarantined {machine.top}/written")
        await administer(svm, "set", DIGEST, "--allow", "--reason", "a false positive")
        await machine.says(f"restored {machine.top}/written")
        assert machine.libraries() - before == set()


async def test_what_is_written_is_quarantined_without_being_opened(svm: SvmProcess, tmp_path: Path) -> None:
    """Also where nobody waits for a verdict."""
    async with protected(tmp_path, svm.target, "--mode", "notify", settings=action("quarantine")) as machine:
        await machine.says("the SVM answers")
        await machine.run("sh", "-c", f"printf '%s' '{EICAR.decode()}' > {machine.top}/new.com")
        await machine.says(f"quarantined {machine.top}/new.com")


async def test_what_was_let_through_without_an_svm_is_quarantined_later(tmp_path: Path) -> None:
    """When the journal is replayed."""
    (tmp_path / "svm").mkdir()
    target = f"unix:{tmp_path}/svm/svm.sock"
    async with protected(tmp_path, target, settings=action("quarantine")) as machine:
        await machine.write("bad.com", EICAR)
        assert (await machine.run("cat", machine.top / "bad.com")).code == 0
        await machine.says("was answered with allow")
        with svm_process(tmp_path / "svm"):
            await machine.says(f"quarantined {machine.top}/bad.com")


async def test_delete_deletes_and_report_lets_through(svm: SvmProcess, tmp_path: Path) -> None:
    """Both say so."""
    for word in ("delete", "report"):
        (tmp_path / word).mkdir()
        async with protected(tmp_path / word, svm.target, settings=action(word)) as machine:
            await machine.says("the SVM answers")
            await machine.write("bad.com", EICAR)
            assert await denied(machine, "bad.com") is (word == "delete")
            if word == "delete":
                await machine.says(f"deleted {machine.top}/bad.com")
            else:
                assert "let through" in await machine.says(f"found {machine.top}/bad.com")
            assert (await machine.run("ls", machine.top)).out == ("" if word == "delete" else "bad.com\n")


async def test_what_must_not_come_back_by_itself_stays(svm: SvmProcess, tmp_path: Path) -> None:
    """Where the settings say so; the next file of this content is let through."""
    settings = action("quarantine", "restore_on_clean = false")
    async with protected(tmp_path, svm.target, settings=settings) as machine:
        await machine.says("the SVM answers")
        await machine.write("bad.com", EICAR)
        assert await denied(machine, "bad.com")
        await machine.says("quarantined")
        await administer(svm, "set", DIGEST, "--allow", "--reason", "a false positive")
        await machine.write("other.com", EICAR)
        assert not await denied(machine, "other.com")
        assert (await machine.run("ls", machine.top)).out == "other.com\n"


async def test_a_digest_that_turns_malicious_is_denied_from_then_on(svm: SvmProcess, tmp_path: Path) -> None:
    """Though the kernel had been told to ask no more, and the stub had it on record as harmless."""
    async with protected(tmp_path, svm.target, settings=action("block")) as machine:
        await machine.says("the SVM answers")
        await machine.write("file", b"harmless, they said")
        await asyncio.sleep(2.1)
        for _ in range(3):
            assert not await denied(machine, "file")
        digest = hashlib.sha256(b"harmless, they said").hexdigest()
        await administer(svm, "set", digest, "--block", "--reason", "it is not")
        async with asyncio.timeout(10):
            while not await denied(machine, "file"):
                pass


async def test_what_was_malicious_stays_denied_without_an_svm(tmp_path: Path) -> None:
    """It is on record, while what nobody knows is let through."""
    (tmp_path / "svm").mkdir()
    target = f"unix:{tmp_path}/svm/svm.sock"
    async with protected(tmp_path, target) as machine:
        with svm_process(tmp_path / "svm"):
            await machine.says("the SVM answers")
            await machine.write("bad.com", EICAR)
            await asyncio.sleep(2.1)
            assert await denied(machine, "bad.com")
            await asyncio.sleep(1.2)  # by when it is committed
        await machine.says("the SVM is gone")
        await machine.write("unknown", b"nobody can say")
        assert await denied(machine, "bad.com")
        assert not await denied(machine, "unknown")
