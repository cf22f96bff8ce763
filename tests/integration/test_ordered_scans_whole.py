"""Scans that an administrator orders, through all real programs: of the SVM, and of the guest."""

import asyncio
import os
import shutil
import signal
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Ran, svm_program
from tests.support.contents import EICAR
from tests.support.on_access_apart import watching
from tests.support.protected import Protected, protected
from tests.support.stub_program import DEADLINE, ended, start
from tests.support.svm_process import SvmProcess, svm_process
from tests.support.tls_svm import Doors, enrolled

pytestmark = watching

# What takes a while to read and is sent once.
LARGE = 8
TREE = (
    f'for i in $(seq {LARGE}); do head -c 40000000 /dev/zero > "$1/large$i"; done; mkdir "$1/d"; '
    'for i in $(seq 200); do echo $i > "$1/d/f$i"; done'
)
WITH_EICAR = f"""{TREE}; printf '%s' '{EICAR.decode()}' > "$1/d/bad.com" """
FILES = LARGE + 200


@pytest.fixture
async def doors(tmp_path: Path) -> Doors:
    """Where the SVM listens: on TCP, where a guest is the same after a restart."""
    return await enrolled(tmp_path / "svm", tmp_path / "stub")


def serving(doors: Doors, extra: str = "") -> AbstractContextManager[SvmProcess]:
    """It serves. extra: of its settings."""
    return svm_process(doors.directory, extra, listen=doors.listen, doors=doors.others)


async def administer(svm: SvmProcess, *words: str) -> Ran:
    """Run `svm`."""
    admin = {"KVMLA_ADMIN_SOCKET": f"{svm.directory}/admin.sock"}
    return await asyncio.to_thread(svm_program, *words, environ=admin)


async def guests(svm: SvmProcess, *words: str) -> Ran:
    """Run `svm guests`."""
    return await administer(svm, "guests", *words)


async def the_scan(svm: SvmProcess, *states: str) -> dict[str, Any]:
    """The one that was ordered, once it is in one of these states."""
    async with asyncio.timeout(DEADLINE):
        while True:
            ran = await guests(svm, "scans", "--json")
            [scan] = ran.json if ran.code == 0 else [{"state": ""}]
            if scan["state"] in states:
                assert isinstance(scan, dict)
                return scan


async def slots_used(svm: SvmProcess, count: int) -> None:
    """So many scans have a slot."""
    async with asyncio.timeout(DEADLINE):
        while True:
            if f"{count} run and" in (await administer(svm, "status")).out:
                return


async def attached(machine: Protected) -> None:
    """The daemon has its SVM."""
    await machine.says("the SVM answers")


async def test_a_scan_is_ordered_and_waited_for(doors: Doors, tmp_path: Path) -> None:
    """What it finds is quarantined in the guest, and the command ends with clamscan's code."""
    settings = '[on_access]\naction = "quarantine"\n'
    with serving(doors) as svm:
        async with protected(tmp_path, doors.listen, settings=settings, prepare=WITH_EICAR) as machine:
            await attached(machine)
            ran = await guests(svm, "scan", "--all", "--wait")
            assert ran.code == 1, ran.err
            scan = await the_scan(svm, "done")
            assert (scan["files"], scan["malicious"], scan["unanswered"]) == (FILES + 1, 1, 0)
            await machine.says(f"quarantined {machine.top}/d/bad.com")
            async with asyncio.timeout(DEADLINE):
                while True:
                    if "quarantined" in (await administer(svm, "events", "--json")).out:
                        break
            again = await guests(svm, "scan", "--all", "--path", f"{machine.top}/d", "--wait")
            assert again.code == 0, again.out + again.err


async def test_a_scan_outlives_a_killed_svm(doors: Doors, tmp_path: Path) -> None:
    """kill -9: the next one on the same state orders it again, and it goes on to its end."""
    async with protected(tmp_path, doors.listen, prepare=TREE) as machine:
        with serving(doors) as first:
            await attached(machine)
            assert (await guests(first, "scan", "--all")).code == 0
            await the_scan(first, "running", "done")
            first.signal(signal.SIGKILL)
            first.wait()
        with serving(doors) as second:
            scan = await the_scan(second, "done")
            assert (scan["files"], scan["malicious"]) == (FILES, 0)


async def test_scans_wait_for_each_others_slot(doors: Doors, tmp_path: Path) -> None:
    """Somebody's scan in the guest has the only one: what was ordered waits, and can be called off; what is
    ordered then begins when that scan is over.
    """
    with serving(doors, "[scans]\nslots = 1\n") as svm:
        async with protected(tmp_path, doors.listen, prepare=TREE) as machine:
            await attached(machine)
            # The same guest, with decisions of its own.
            await asyncio.to_thread(shutil.copytree, tmp_path / "stub/identity", tmp_path / "own/identity")
            slow = (
                "--svm",
                doors.listen,
                "--state",
                tmp_path / "own",
                "--rate",
                "0.01",
                Path(os.__file__).parent,
            )
            own = await start("scan", "--json", *slow)
            await slots_used(svm, 1)
            assert (await guests(svm, "scan", "--all")).code == 0
            await the_scan(svm, "waiting")
            assert (await guests(svm, "cancel-scan", "--all")).code == 0
            await machine.says("an ordered scan has ended: cancelled")
            await the_scan(svm, "cancelled")
            assert (await guests(svm, "scan", "--all")).code == 0
            own.send_signal(signal.SIGINT)
            assert (await ended(own)).code == 2
            await machine.says(f"an ordered scan has ended: done, {FILES} files")
