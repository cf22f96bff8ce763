"""What `guest-stub run` lets through without an SVM, and what becomes of it, against a hostile user."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.apart import ROOT, environment
from tests.support.contents import EICAR
from tests.support.on_access_apart import watching
from tests.support.protected import Protected, protected
from tests.support.svm import until
from tests.support.svm_process import svm_process

pytestmark = watching

QUARANTINES = '[on_access]\naction = "quarantine"\n'
USER = 12345
# Renames a file of its own to a new name, again and again, as fast as it can; ends when the file is gone.
RENAMES = """
import os, sys
os.chdir(sys.argv[1])
number = 0
try:
    while True:
        os.rename(f"m{number}", f"m{number + 1}")
        number += 1
except FileNotFoundError:
    pass
"""


@pytest.fixture
def target(tmp_path: Path) -> str:
    """Where an SVM will be."""
    (tmp_path / "svm").mkdir()
    return f"unix:{tmp_path}/svm/svm.sock"


async def let_through(machine: Protected, name: str, content: bytes) -> None:
    """A file is written by nobody, and opened while no SVM is there."""
    await machine.write(name, content)
    assert (await machine.run("cat", machine.top / name)).code == 0


def names(machine: Protected, directory: str) -> list[str]:
    """What is there."""
    return sorted(path.name for path in machine.outside(directory).iterdir())


async def test_who_renames_his_file_without_a_pause_does_not_keep_it(target: str, tmp_path: Path) -> None:
    """It was let through, and is found and quarantined under whatever name it has when an SVM is back."""
    async with protected(tmp_path, target, settings=QUARANTINES, prepare='mkdir "$1/u"') as machine:
        for number in range(50):
            await machine.write(f"u/other{number}", b"")
        await let_through(machine, "u/m0", EICAR)
        renaming = await machine.start("/usr/bin/python3", "-c", RENAMES, machine.top / "u")
        await until(lambda: "m0" not in names(machine, "u"), "it is renamed")
        with svm_process(tmp_path / "svm"):
            await machine.says("quarantined ")
        with suppress(ProcessLookupError):  # it ends by itself unless an empty file was left to it
            renaming.kill()
        await asyncio.wait_for(renaming.communicate(), 30)
        assert {path.stat().st_size for path in machine.outside("u").iterdir()} == {0}


async def test_a_user_who_fills_the_journal_hides_neither_others_files_nor_his_own(
    target: str, tmp_path: Path
) -> None:
    """There is room for the others; his are walked for; and that there was no room is said."""
    environ = {
        "JOURNAL_ENTRIES": "40",
        "PYTHONPATH": f"{ROOT / 'tests/support/small_journal'}:{environment()['PYTHONPATH']}",
    }
    settings = '[on_access]\naction = "delete"\n'
    async with protected(tmp_path, target, settings=settings, environ=environ) as machine:
        many = (
            f"import os; os.chdir({str(machine.top / 'u')!r}); os.setuid({USER})\n"
            "for number in range(60): open(str(number), 'w').write(str(number))\n"
            f"open('own', 'wb').write({EICAR!r}); open('own').read()"
        )
        assert (await machine.run("install", "-d", "-o", str(USER), machine.top / "u")).code == 0
        assert (await machine.run("/usr/bin/python3", "-c", many)).code == 0
        await machine.says("there is no room to note more files")
        await let_through(machine, "others", EICAR + b"\n")
        with svm_process(tmp_path / "svm"):
            assert f"{machine.top}/others" in await machine.says("deleted ")
            assert not machine.outside("others").exists()
            await until(lambda: not machine.outside("u/own").exists(), "his is found by a walk")
        assert len(names(machine, "u")) == 60
        assert not [line for line in machine.said if "own will be looked at later" in line]


async def test_who_hides_what_a_scan_has_detected_does_not_hide_that_it_was_there(tmp_path: Path) -> None:
    """It is named at once, before it is looked at again."""
    (tmp_path / "svm").mkdir()
    async with protected(
        tmp_path, f"unix:{tmp_path}/svm/svm.sock", settings=QUARANTINES,
        prepare=f"""printf '%s' '{EICAR.decode()}' > "$1/bad.com" """,
    ) as machine:  # fmt: skip
        with svm_process(tmp_path / "svm"):
            await machine.says("the SVM answers")
            ordered = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "appliance", "guests", "scan", "--all", "--socket",
                str(tmp_path / "svm/admin.sock"), cwd=ROOT, env=environment(),
            )  # fmt: skip
            assert await ordered.wait() == 0
            await machine.says("quarantined ")
            [detected] = [line for line in machine.said if "a scan has detected" in line]
            assert f"{machine.top}/bad.com: Eicar" in detected
