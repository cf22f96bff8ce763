"""The demo: five processes against one SVM, and that its claims can fail."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.demo.__main__ import expect
from tests.demo.claims import Claim, Expected, claims
from tests.demo.disclosed import Ledger, shown
from tests.demo.reputation import OTHERS, THREAT, plant, write_feed
from tests.demo.stock import Stock
from tests.demo.told import Told, told

ROOT = Path(__file__).parents[2]
PLANTED = frozenset({"/planted/eicar.com"})
ALONE = "/planted/known-to-ksn-alone.txt"
DIGEST = bytes(range(32))
EXPECTED = Expected(10, PLANTED, (ALONE, DIGEST), answerable_bytes=1000, unanswered_bytes=0)
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
    found=PLANTED | {ALONE},
    unanswered=frozenset(),
    named={ALONE: (THREAT, "ksn")},
)
QUESTION: dict[str, Any] = {
    "call": "hash",
    "fields": {"digest": DIGEST.hex()},
    "guest": "guest-1",
    "mode": "standard",
    "result": "Red",
}
LEDGER = Ledger(requests=(QUESTION,), entries=2, problem="", last="00")


def claimed(*guests: Told, engine_bytes: int = 1000, ledger: Ledger = LEDGER) -> list[Claim]:
    """What is claimed of these guests."""
    return claims(guests, EXPECTED, engine_bytes, ledger)


def test_the_demo_runs_and_all_of_its_claims_hold(tmp_path: Path) -> None:
    """Five guests scan a small tree through a real SVM, each content once."""
    shutil.copytree(ROOT / "appliance", tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "tests.demo", "--tree", str(tmp_path / "tree")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "IS WRONG" not in done.stdout
    assert done.stdout.count("holds") == 9
    assert "5 guests found something in" in done.stdout
    assert "standard mode, for uid-" in done.stdout  # the question about the file that KSN alone knows
    for wrapping in (
        "eicar.com",
        "eicar.zip",
        "nested.tar.gz",
        "deeper.zip",
        "letter.docx",
        Path(ALONE).name,
    ):
        assert f"/planted/{wrapping}\n" in done.stdout
    assert "letter-without.docx" not in done.stdout


def test_every_claim_holds_for_guests_that_did_well() -> None:
    """Guests that agree, and engines that were given each content once, make every claim true."""
    assert all(claim.holds for claim in claimed(GUEST, GUEST))


@pytest.mark.parametrize(
    "other",
    [
        replace(GUEST, files=9),
        replace(GUEST, found=frozenset()),
        replace(GUEST, found=PLANTED | {"/usr/bin/env"}),
        replace(GUEST, exit_code=0),
        replace(GUEST, turned_away=1),
        replace(GUEST, named={ALONE: (THREAT, "yara")}),
        replace(GUEST, named={}),
    ],
    ids=[
        "fewer files",
        "EICAR missed",
        "something else found",
        "exit code",
        "turned away",
        "an engine, not KSN",
        "KSN not heard",
    ],
)
def test_a_guest_that_differs_makes_a_claim_false(other: Told) -> None:
    """One guest that says something else is enough for the demo to fail."""
    assert not all(claim.holds for claim in claimed(GUEST, other))


@pytest.mark.parametrize("engine_bytes", [999, 1001, 2000])
def test_content_that_engines_got_twice_or_never_makes_a_claim_false(engine_bytes: int) -> None:
    """The bytes given to engines have to be the unique bytes exactly."""
    assert not all(claim.holds for claim in claimed(GUEST, GUEST, engine_bytes=engine_bytes))


@pytest.mark.parametrize(("engine_bytes", "holds"), [(899, False), (900, True), (1100, True), (1101, False)])
def test_content_without_a_verdict_may_be_given_again_to_each_guest(engine_bytes: int, holds: bool) -> None:
    """What ends without a verdict is not cached, so that its bytes may come from every guest."""
    expected = replace(EXPECTED, answerable_bytes=900, unanswered_bytes=100)
    assert all(claim.holds for claim in claims([GUEST, GUEST], expected, engine_bytes, LEDGER)) is holds


@pytest.mark.parametrize(
    "ledger",
    [
        replace(LEDGER, problem="entry 2 is missing"),
        replace(LEDGER, requests=()),
        replace(LEDGER, requests=({**QUESTION, "fields": {"digest": "ff"}},)),
        replace(LEDGER, requests=({**QUESTION, "fields": {"digest": DIGEST.hex(), "name": "a"}},)),
        replace(LEDGER, requests=({**QUESTION, "mode": "extended"},)),
        replace(LEDGER, requests=({**QUESTION, "result": "timed out"},)),
    ],
    ids=["broken", "empty", "another digest", "one field too many", "another mode", "no answer"],
)
def test_a_ledger_that_does_not_show_the_question_makes_a_claim_false(ledger: Ledger) -> None:
    """It has to be whole, and to show the digest, nothing beside it, and what KSN said."""
    assert not all(claim.holds for claim in claimed(GUEST, ledger=ledger))


def test_what_ksn_answered_for_needs_no_engine(tmp_path: Path) -> None:
    """The bytes that engines must be given are those of the other contents."""
    alone = plant(tmp_path)
    stock = Stock({str(alone): DIGEST, "/b": b"b"}, 150, {DIGEST: 100, b"b": 50})
    assert expect(stock, [], (str(alone), DIGEST), [GUEST]).answerable_bytes == 50


def test_nobody_has_seen_the_planted_file_before(tmp_path: Path) -> None:
    """Two runs plant different contents, so that no cache and no list can know them."""
    (tmp_path / "other").mkdir()
    assert plant(tmp_path).read_bytes() != plant(tmp_path / "other").read_bytes()


def test_a_feed_has_the_digest_between_others(tmp_path: Path) -> None:
    """A plain list: SHA-256 and the name of the threat, a line each."""
    write_feed(tmp_path / "feed.txt", [DIGEST])
    _, *lines = (tmp_path / "feed.txt").read_text().splitlines()
    assert f"{DIGEST.hex()} {THREAT}" in lines
    assert len(lines) == OTHERS + 1


def test_a_request_is_shown_in_one_line() -> None:
    """Call, fields with their values, mode, for whom, and how it ended."""
    assert shown(QUESTION) == f"hash: digest {DIGEST.hex()}; standard mode, for guest-1: Red"


def test_a_report_is_read_as_the_guest_wrote_it() -> None:
    """Entries that nobody asks about are no files, and names that are not UTF-8 keep their bytes."""
    report: list[dict[str, Any]] = [
        {
            "type": "file",
            "path": "/a/\ufffd",
            "path_b64": "L2Ev/w==",
            "outcome": "malicious",
            "threat": "T",
            "engine": "E",
        },
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
    assert guest.named == {"/a/\udcff": ("T", "E")}
