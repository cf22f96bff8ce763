"""svm guests scan|scans|cancel-scan, over real gRPC."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.scans import LEAST_DIGITS
from appliance.domain.scan import ScanState
from tests.support.commands import DEADLINE, ROOT, Ran, svm
from tests.support.scan_desk import Program
from tests.support.scans_side_server import ScansSide, scans_side

TIME = "2030-03-17 17:46:40 UTC"


@pytest.fixture
def side(tmp_path: Path) -> Iterator[ScansSide]:
    """An SVM that knows two guests."""
    with scans_side(tmp_path) as running:
        running.known = ["ip-1", "ip-2"]
        yield running


def guests(side: ScansSide, *arguments: object) -> Ran:
    """Run `svm guests` against the SVM."""
    return svm("guests", *arguments, "--socket", side.path)


def test_scans_are_ordered_and_listed(side: ScansSide) -> None:
    """With what they are of, when, and how they stand; a second time it is the same one."""
    ran = guests(side, "scan", "ip-1", "--path", "/home", "--at", "1h")
    assert (ran.code, ran.err) == (0, "")
    scan = ran.out[:8]
    assert ran.out[8:] == "  ip-1  is ordered, due 2030-03-17 18:46:40 UTC\n"
    assert "was ordered before" in guests(side, "scan", "ip-1", "--path", "/home", "--at", "2h").out
    (every, _) = guests(side, "scan", "--all", "--json").json
    assert every == {
        "id": every["id"],
        "guest": "ip-1",
        "already": False,
        "due": "2030-03-17T17:46:40Z",
        "refused": None,
    }
    lines = guests(side, "scans").out.splitlines()
    head = "id guest state ordered due files found paths what it says"
    assert lines[0].split() == head.split()
    assert lines[1].startswith(f"{scan}  ip-1   scheduled  {TIME}  2030-03-17 18:46:40 UTC")
    assert lines[1].endswith("/home")
    assert "away" in lines[2]
    (told,) = guests(side, "scans", "--json", "--guest", "ip-2").json
    assert (told["state"], told["paths"], told["ended"], told["expected_files"]) == ("away", [], None, None)


def test_progress_and_result_are_shown(side: ScansSide) -> None:
    """How far it is; what a guest says steers no terminal."""
    guest = side.attach("ip-1")
    guests(side, "scan", "ip-1")
    (scan,) = guest.scan_news.tasks
    side.says(guest, scan, ScanState.RUNNING, files=1200, expected=5000)
    assert "1,200 of 5,000" in guests(side, "scans").out
    side.says(
        guest, scan, ScanState.INCOMPLETE, "disk\x1b[2J", files=1300, malicious=2, suspicious=1, expected=5000
    )
    line = guests(side, "scans").out.splitlines()[1]
    assert "incomplete" in line
    assert line.endswith("1,300      3  all    disk?[2J")
    assert guests(side, "scans", "--open").code == 1


def test_nothing_to_show_is_said(side: ScansSide) -> None:
    """And is exit code 1."""
    ran = guests(side, "scans")
    assert (ran.code, ran.out) == (1, "no scan is kept that is asked for\n")
    assert guests(side, "scans", "--json").json == []


def answering(side: ScansSide, guest: Program, ends: list[dict[str, object]]) -> threading.Thread:
    """Have a guest scan what it is told, each with an end of its own, in a thread."""

    def answer() -> None:
        for end in ends:
            while not (new := [scan for scan, paths in guest.scan_news.tasks.items() if paths is not None]):
                guest_told.wait(0.01)
            guest.scan_news.tasks.clear()
            side.says(guest, new[0], ScanState.RUNNING, files=1)
            side.says(guest, new[0], **end)  # type: ignore[arg-type]

    guest_told = threading.Event()
    thread = threading.Thread(target=answer)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"state": ScanState.DONE, "files": 9}, 0),
        ({"state": ScanState.DONE, "malicious": 1}, 1),
        ({"state": ScanState.INCOMPLETE, "suspicious": 1}, 1),
        ({"state": ScanState.DONE, "unanswered": 1}, 2),
        ({"state": ScanState.CANCELLED}, 2),
    ],
)
def test_waiting_ends_with_clamscans_code(side: ScansSide, end: dict[str, object], code: int) -> None:
    """Something found is 1, else something not looked at is 2."""
    thread = answering(side, side.attach("ip-1"), [end, end])
    ran = guests(side, "scan", "ip-1", "--wait")
    assert ran.code == code
    assert ran.out.splitlines()[-1].split()[1:3] == ["ip-1", end["state"]]
    ran = guests(side, "scan", "ip-1", "--wait", "--json")
    assert (ran.code, ran.json[0]["state"]) == (code, end["state"])
    thread.join()


def test_who_follows_gets_a_line_for_each_change(side: ScansSide) -> None:
    """A JSON object a line, at once, until the program is ended."""
    guest = side.attach("ip-1")
    guests(side, "scan", "ip-1")
    (scan,) = guest.scan_news.tasks
    command = [sys.executable, "-m", "appliance", "guests", "scans", "--follow", "--json", "--socket"]
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
    with subprocess.Popen([*command, side.path], stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["state"] == "waiting"
        side.says(guest, scan, ScanState.DONE, files=3)
        told = json.loads(process.stdout.readline())
        assert (told["id"], told["state"], told["files"]) == (scan.hex(), "done", 3)
        process.terminate()


@pytest.mark.parametrize("arguments", [("scan", "ip-1", "--wait"), ("scans", "--follow")])
def test_an_svm_that_stops_ends_the_watching_alone(side: ScansSide, arguments: tuple[str, ...]) -> None:
    """Who watched is told that the scans go on: exit code 2."""
    guest = side.attach("ip-1")
    guests(side, "scan", "ip-1")
    command = [sys.executable, "-m", "appliance", "guests", *arguments, "--socket", str(side.path)]
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert process.stdout is not None
        assert "waiting" in process.stdout.readline()
        side.stop()
        _, errors = process.communicate(timeout=DEADLINE)
        assert "scans that were ordered go on: see `svm guests scans`" in errors
        assert process.returncode == 2
    assert guest.scan_news.tasks


def test_scans_are_called_off(side: ScansSide) -> None:
    """By their first digits, or all; what is over is none any more."""
    guests(side, "scan", "--all")
    first, _ = [scan["id"] for scan in guests(side, "scans", "--json").json]
    assert guests(side, "cancel-scan", first[:8].upper()).out == "1 scan is called off\n"
    assert guests(side, "cancel-scan", "--all", "--json").json == {"cancelled": 1}
    assert {scan["text"] for scan in guests(side, "scans", "--json").json} == {
        f"called off by uid-{os.getuid()}"
    }
    ran = guests(side, "cancel-scan", first)
    assert (ran.code, ran.out) == (1, "0 scans are called off\n")


def test_a_guest_that_gets_no_scan_is_named(side: ScansSide) -> None:
    """And others get theirs: exit code 1."""
    for number in range(4):
        guests(side, "scan", "ip-1", "--path", f"/{number}")
    ran = guests(side, "scan", "ip-1", "ip-2")
    assert ran.code == 1
    assert ran.err.startswith("svm: ip-1: 4 scans of it are open")
    assert "ip-2  is ordered" in ran.out
    stop = side.attach("ip-3")
    thread = answering(side, stop, [{"state": ScanState.DONE}])
    assert guests(side, "scan", "ip-1", "ip-3", "--wait").code == 2
    thread.join()
    thread = answering(side, stop, [{"state": ScanState.DONE}])
    ran = guests(side, "scan", "ip-1", "ip-3", "--wait", "--json")
    assert [(scan["guest"], bool(scan["refused"])) for scan in ran.json] == [("ip-3", False), ("ip-1", True)]
    thread.join()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("scan",), "name guests, or give --all"),
        (("scan", "ip-1", "--all"), "'ip-1' and --all were given"),
        (("scan", "ip-1", "--at", "2001-01-01"), "lies in the past"),
        (("scan", "ip-1", "--at", "soon"), "is no time"),
        (("scan", "ip-9"), "no guest 'ip-9' is known"),
        (("scan", "ip-1", "--path", "/home/../etc"), "has .. in it"),
        (("scans", "--limit", "-1"), "give 1 to 16384"),
        (("scans", "--limit", "0"), "give 1 to 16384"),
        (("scans", "--limit", "99999999999999999999"), "give 1 to 16384"),
        (("cancel-scan", "abcd", "--all"), "'abcd' and --all were given"),
        (("cancel-scan",), "name scans by their ids"),
        (("cancel-scan", "abc"), f"at least {LEAST_DIGITS} of its digits"),
        (("cancel-scan", "wxyz"), f"at least {LEAST_DIGITS} of its digits"),
        (("cancel-scan", "abcdef"), "is the id of no scan"),
    ],
)
def test_mistakes_are_one_sentence(side: ScansSide, arguments: tuple[str, ...], sentence: str) -> None:
    """And exit code 2."""
    ran = guests(side, *arguments)
    assert ran.code == 2
    assert sentence in ran.err
