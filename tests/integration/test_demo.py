"""The demo: five processes against one SVM, and that its claims can fail."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.demo.claims import Expected, claims
from tests.demo.told import Told, told

ROOT = Path(__file__).parents[2]
PLANTED = frozenset({"/planted/eicar.com"})
EXPECTED = Expected(files=10, planted=PLANTED, answerable_bytes=1000, unanswered_bytes=0)
GUEST = Told(
    name="guest 1",
    exit_code=1,
    files=10,
    file_bytes=1500,
    sent=500,
    at_once=4,
    later=6,
    seconds=1.5,
    turned_away=0,
    found=PLANTED,
    unanswered=frozenset(),
)


def test_the_demo_runs_and_all_of_its_claims_hold(tmp_path: Path) -> None:
    """Five guests scan a small tree through a real SVM, each content once."""
    shutil.copytree(ROOT / "appliance", tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "tests.demo", "--tree", str(tmp_path / "tree")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "IS WRONG" not in done.stdout
    assert done.stdout.count("holds") >= 5
    for wrapping in ("eicar.com", "eicar.zip", "nested.tar.gz", "deeper.zip", "letter.docx"):
        assert f"/planted/{wrapping}\n" in done.stdout
    assert "letter-without.docx" not in done.stdout


def test_every_claim_holds_for_guests_that_did_well() -> None:
    """Guests that agree, and engines that were given each content once, make every claim true."""
    assert all(claim.holds for claim in claims([GUEST, GUEST], EXPECTED, 1000))


@pytest.mark.parametrize(
    "other",
    [
        replace(GUEST, files=9),
        replace(GUEST, found=frozenset()),
        replace(GUEST, found=PLANTED | {"/usr/bin/env"}),
        replace(GUEST, exit_code=0),
        replace(GUEST, turned_away=1),
    ],
    ids=["fewer files", "EICAR missed", "something else found", "exit code", "turned away"],
)
def test_a_guest_that_differs_makes_a_claim_false(other: Told) -> None:
    """One guest that says something else is enough for the demo to fail."""
    assert not all(claim.holds for claim in claims([GUEST, other], EXPECTED, 1000))


@pytest.mark.parametrize("engine_bytes", [999, 1001, 2000])
def test_content_that_engines_got_twice_or_never_makes_a_claim_false(engine_bytes: int) -> None:
    """The bytes given to engines have to be the unique bytes exactly."""
    assert not all(claim.holds for claim in claims([GUEST, GUEST], EXPECTED, engine_bytes))


@pytest.mark.parametrize(("engine_bytes", "holds"), [(899, False), (900, True), (1100, True), (1101, False)])
def test_content_without_a_verdict_may_be_given_again_to_each_guest(engine_bytes: int, holds: bool) -> None:
    """What ends without a verdict is not cached, so that its bytes may come from every guest."""
    expected = replace(EXPECTED, answerable_bytes=900, unanswered_bytes=100)
    assert all(claim.holds for claim in claims([GUEST, GUEST], expected, engine_bytes)) is holds


def test_a_report_is_read_as_the_guest_wrote_it() -> None:
    """Entries that nobody asks about are no files, and names that are not UTF-8 keep their bytes."""
    report: list[dict[str, Any]] = [
        {"type": "file", "path": "/a/\ufffd", "path_b64": "L2Ev/w==", "outcome": "malicious"},
        {"type": "file", "path": "/a/b.zip", "outcome": "encrypted"},
        {"type": "directory", "path": "/a/c", "left_out": "unreadable"},
        {
            "type": "summary",
            "exit_code": 1,
            "outcomes": {"malicious": 1, "not detected": 7, "encrypted": 1, "symlink": 4, "hard link": 2},
            "bytes": 1500,
            "bytes_sent": 500,
            "answered_at_once": 3,
            "answered_later": 6,
            "seconds": 1.5,
        },
    ]
    guest = told("guest 1", report)
    assert guest.files == 9
    assert guest.found == {"/a/\udcff"}
    assert guest.unanswered == {"/a/b.zip"}
