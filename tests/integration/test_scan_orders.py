"""Scans that administrators order: `svm` commands on one side, a raw guest on the other, an SVM between."""

import asyncio
import signal
from pathlib import Path
from typing import Any

from tests.support.commands import Ran, svm_program
from tests.support.scan_guest import DONE, INCOMPLETE, RUNNING, WAITING, ScanGuest
from tests.support.svm import DEADLINE, until
from tests.support.svm_process import svm_process


async def svm(directory: Path, *arguments: object) -> Ran:
    """Run an `svm` command against the SVM of a directory, while guests go on."""
    return await asyncio.to_thread(svm_program, *arguments, "--socket", directory / "admin.sock")


async def listed(directory: Path, *arguments: object) -> list[dict[str, Any]]:
    """What `svm guests scans --json` says."""
    ran = await svm(directory, "guests", "scans", "--json", *arguments)
    assert not ran.err
    found: list[dict[str, Any]] = ran.json
    return found


async def until_state(directory: Path, state: str) -> dict[str, Any]:
    """Wait until the only scan has a state; what is said of it."""
    async with asyncio.timeout(DEADLINE):
        while True:
            (scan,) = await listed(directory)
            if scan["state"] == state:
                return scan


async def guest_id(directory: Path) -> str:
    """The name of the only guest that is attached."""
    (guest,) = (await svm(directory, "guests", "list", "--json")).json
    name: str = guest["guest"]
    return name


async def test_a_scan_is_ordered_done_and_listed(tmp_path: Path) -> None:
    """Order, task, slot, progress, result; and an event of the order and of the end."""
    with svm_process(tmp_path) as running:
        async with ScanGuest.connect(running) as guest:
            name = await guest_id(tmp_path)
            ordered = await svm(tmp_path, "guests", "scan", name, "--path", "/home", "--path", "/srv")
            assert (ordered.code, ordered.err) == (0, "")
            scan = await guest.task()
            assert list(guest.tasks[scan].paths) == [b"/home", b"/srv"]
            assert (await until_state(tmp_path, "waiting"))["id"] == scan.hex()
            await guest.status(scan, WAITING)
            await guest.has_slot(scan)
            await guest.status(scan, RUNNING, files=10, expected_files=40)
            told = await until_state(tmp_path, "running")
            assert told["paths"] == ["/home", "/srv"]
            async with asyncio.timeout(DEADLINE):
                while not told["files"]:
                    (told,) = await listed(tmp_path)
            assert (told["files"], told["expected_files"], told["ended"]) == (10, 40, None)
            status = (await svm(tmp_path, "status")).out
            assert "1 run and 0 wait for one of" in status
            await guest.status(scan, DONE, files=40, bytes=4000, malicious=1, text="one was bad")
            told = await until_state(tmp_path, "done")
        assert (told["files"], told["malicious"], told["text"]) == (40, 1, "one was bad")
        table = (await svm(tmp_path, "guests", "scans")).out
        assert f"{scan.hex()[:8]}  {name}  done" in table
        events = (await svm(tmp_path, "events", "--kind", "scan-order", "--kind", "scan-end", "--json")).json
        assert [event["kind"] for event in events] == ["scan-order", "scan-end"]
        assert events[0]["guest"] == events[1]["guest"] == name
        assert "/home, /srv" in events[0]["text"]
        assert events[1]["text"].startswith("done: 40 files, 1 malicious")


async def test_waiting_for_a_scan_ends_as_it_does(tmp_path: Path) -> None:
    """--wait shows progress; exit codes are clamscan's."""
    with svm_process(tmp_path) as running:
        async with ScanGuest.connect(running) as guest:
            name, codes = await guest_id(tmp_path), []
            for number, (end, more) in enumerate(
                [(DONE, {"files": 3}), (DONE, {"malicious": 1}), (DONE, {"unanswered": 1}), (INCOMPLETE, {})],
                1,
            ):
                waiting = asyncio.get_running_loop().create_task(
                    svm(tmp_path, "guests", "scan", name, "--wait")
                )
                scan = await guest.task(number)
                await guest.status(scan, RUNNING)
                await guest.has_slot(scan)
                await guest.status(scan, end, **more)
                ran = await waiting
                codes.append(ran.code)
                assert ran.out.splitlines()[-1].startswith(scan.hex()[:8])
            assert codes == [0, 1, 2, 2]


async def test_orders_survive_the_death_of_the_svm(tmp_path: Path) -> None:
    """kill -9 loses none, neither one that runs nor how one ended; the guest is told of the first again."""
    with svm_process(tmp_path) as running:
        async with ScanGuest.connect(running) as guest:
            name = await guest_id(tmp_path)
            await svm(tmp_path, "guests", "scan", name, "--path", "/done")
            over = await guest.task()
            await guest.status(over, RUNNING)
            await guest.status(over, DONE, files=7)
            await until_state(tmp_path, "done")
            await svm(tmp_path, "guests", "scan", name)
            scan = await guest.task(2)
            await guest.status(scan, RUNNING)
            await guest.has_slot(scan)
            running.signal(signal.SIGKILL)
            await guest.refused()
    with svm_process(tmp_path) as again:
        # Both may be of the same second, by which they are listed.
        by_id = {each["id"]: each for each in await listed(tmp_path)}
        assert (by_id[over.hex()]["state"], by_id[over.hex()]["files"]) == ("done", 7)
        assert by_id[scan.hex()]["state"] == "away"
        async with ScanGuest.connect(again) as guest:
            assert await guest.task() == scan
            assert set(guest.tasks) == {scan}
            await guest.status(scan, RUNNING)
            await guest.has_slot(scan)
            await guest.status(scan, DONE, files=9)
            async with asyncio.timeout(DEADLINE):
                while [each["state"] for each in await listed(tmp_path)] != ["done", "done"]:
                    pass


async def test_a_scan_is_called_off(tmp_path: Path) -> None:
    """The guest is told; it is over whatever the guest says then, and its slot is free."""
    with svm_process(tmp_path) as running:
        async with ScanGuest.connect(running) as guest:
            await svm(tmp_path, "guests", "scan", "--all")
            scan = await guest.task()
            await guest.status(scan, RUNNING, files=5)
            await guest.has_slot(scan)
            cancelled = await svm(tmp_path, "guests", "cancel-scan", scan.hex()[:6])
            assert (cancelled.code, cancelled.out) == (0, "1 scan is called off\n")
            await until(lambda: guest.tasks[scan].cancelled, "the guest hears of it")
            del guest.tasks[scan]
            await guest.status(scan, RUNNING, files=6)
            await guest.task()
            assert guest.tasks[scan].cancelled
            (told,) = await listed(tmp_path)
            assert (told["state"], told["files"]) == ("cancelled", 5)
            assert "0 run and 0 wait" in (await svm(tmp_path, "status")).out
            assert (await svm(tmp_path, "guests", "cancel-scan", "--all")).code == 1


async def test_a_scan_begins_at_its_time(tmp_path: Path) -> None:
    """Until then the guest hears nothing of it; ordered again for now, it begins."""
    with svm_process(tmp_path) as running:
        async with ScanGuest.connect(running) as guest:
            name = await guest_id(tmp_path)
            assert (await svm(tmp_path, "guests", "scan", name, "--at", "12h")).code == 0
            (told,) = await listed(tmp_path)
            assert told["state"] == "scheduled"
            (again,) = (await svm(tmp_path, "guests", "scan", name, "--json")).json
            assert again["already"]
            assert again["due"] < told["due"]
            assert (await guest.task()).hex() == again["id"] == told["id"]


async def test_who_cannot_be_scanned_is_said(tmp_path: Path) -> None:
    """A guest that is unknown or no daemon, a time that is past: a sentence, and nothing is ordered."""
    with svm_process(tmp_path) as running:
        assert "no guest is known" in (await svm(tmp_path, "guests", "scan", "--all")).err
        async with ScanGuest.connect(running, daemon=False):
            name = await guest_id(tmp_path)
            said = {
                "no guest 'ip-9' is known": ("guests", "scan", "ip-9"),
                "is no daemon": ("guests", "scan", name),
                "no guest is known that could scan": ("guests", "scan", "--all"),
                "lies in the past": ("guests", "scan", name, "--at", "2001-01-01"),
                "begin it with /": ("guests", "scan", name, "--path", "home"),
                "name guests, or give --all": ("guests", "scan"),
                "is the id of no scan": ("guests", "cancel-scan", "abcdef"),
            }
            for sentence, arguments in said.items():
                ran = await svm(tmp_path, *arguments)
                assert ran.code == 2, arguments
                assert sentence in ran.err
        assert await listed(tmp_path) == []
