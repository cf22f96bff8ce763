"""Tests of what a scan says."""

import base64
import json
import os
from typing import Any

import pytest

from guest_stub.ends import DirectoryLeft, Left
from guest_stub.outcome import Outcome
from guest_stub.report import Ending, FileEnd, JsonReport, TextReport, path_fields
from guest_stub.tally import Totals

DIGEST = bytes(range(32))
EICAR = FileEnd("/a.zip", Outcome.MALICIOUS, DIGEST, "Eicar", "eicar", "b/c.exe")
ODD = os.fsdecode(b"/caf\xe9\x1b[1m")


class Kept:
    """Keeps lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str, wait: bool = False) -> None:
        """Keep it."""
        self.lines.append(text)


def text(*files: FileEnd) -> list[str]:
    """Lines for people."""
    report = TextReport(kept := Kept(), everything=False)
    for file in files:
        report.file(file)
    return kept.lines


def objects(*files: FileEnd) -> list[dict[str, Any]]:
    """JSON objects."""
    report = JsonReport(kept := Kept(), everything=False)
    for file in files:
        report.file(file)
    return [json.loads(line) for line in kept.lines]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (EICAR, "/a.zip!b/c.exe: Eicar FOUND"),
        (FileEnd("/a", Outcome.SUSPICIOUS, DIGEST, "Adware"), "/a: Adware FOUND (suspicious)"),
        (FileEnd("/a", Outcome.MALICIOUS, DIGEST), "/a: unnamed FOUND"),
        (FileEnd("/a", Outcome.NOT_DETECTED, DIGEST), "/a: OK"),
        (FileEnd("/a", Left.SYMLINK), "/a: symlink"),
        (FileEnd("/a", Left.FIFO), "/a: FIFO (not opened)"),
        (FileEnd("/a", Outcome.UNREADABLE, reason="Permission denied"), "/a: UNREADABLE (Permission denied)"),
        (FileEnd("/a", Outcome.TIMED_OUT), "/a: TIMED OUT"),
        (
            FileEnd(ODD, Outcome.MALICIOUS, DIGEST, "T\x07", member="\x1b"),
            "/caf\\xe9\\x1b[1m!\\x1b: T\\x07 FOUND",
        ),
    ],
)
def test_lines_are_those_of_clamscan(file: FileEnd, line: str) -> None:
    """Path, member, threat, FOUND; whatever a name holds, it does not act on a terminal."""
    assert text(file) == [line]


def test_an_object_says_what_there_is() -> None:
    """Fields without a value are left out."""
    assert objects(EICAR, FileEnd("/b", Left.FIFO)) == [
        {
            "type": "file", "path": "/a.zip", "outcome": "malicious", "sha256": DIGEST.hex(),
            "threat": "Eicar", "engine": "eicar", "member": "b/c.exe",
        },
        {"type": "file", "path": "/b", "outcome": "fifo"},
    ]  # fmt: skip


def test_a_kept_answer_is_called_one() -> None:
    """One can tell what an earlier scan has found from what the SVM said now."""
    [said] = objects(FileEnd("/a", Outcome.MALICIOUS, DIGEST, "T", kept=True))
    assert said["kept"] is True


def test_an_object_says_what_software_it_is() -> None:
    """Where a source knows that."""
    [said] = objects(FileEnd("/a", Outcome.SUSPICIOUS, DIGEST, "T", category="Toolbar 2 (Acme), Adware"))
    assert said["category"] == "Toolbar 2 (Acme), Adware"


def test_a_path_that_is_not_utf8_is_given_twice() -> None:
    """Once readable, once in full, all of it in ASCII."""
    report = JsonReport(kept := Kept(), everything=False)
    report.file(FileEnd(ODD, Outcome.MALICIOUS, DIGEST))
    assert kept.lines[0].isascii()
    said = json.loads(kept.lines[0])
    assert said["path"] == "/caf\ufffd\x1b[1m"
    assert base64.b64decode(said["path_b64"]) == os.fsencode(ODD)


def test_a_sound_path_is_given_once() -> None:
    """UTF-8 needs no second form."""
    assert path_fields("/tmp/ä") == {"path": "/tmp/ä"}


@pytest.mark.parametrize("report", [TextReport, JsonReport])
def test_plain_files_are_wanted_only_with_all(report: type[TextReport | JsonReport]) -> None:
    """Clean, not detected, links and exclusions are not worth a line; all else is."""
    some, everything = report(Kept(), everything=False), report(Kept(), everything=True)
    plain = {Outcome.CLEAN, Outcome.NOT_DETECTED, Left.SYMLINK, Left.HARD_LINK, Left.EXCLUDED}
    for end in (*Outcome, *Left):
        assert everything.wants(end)
        assert some.wants(end) is (end not in plain)


def test_directories_are_named() -> None:
    """What was not entered is said with its reason, in both forms; exclusions only with --all."""
    for_people, for_programs = TextReport(lines := Kept(), False), JsonReport(said := Kept(), False)
    for report in (for_people, for_programs):
        report.directory(DirectoryLeft.UNREADABLE, "/a", "Permission denied")
        report.directory(DirectoryLeft.EXCLUDED, "/b", "")
    assert lines.lines == ["/a: DIRECTORY LEFT OUT: unreadable (Permission denied)"]
    assert [json.loads(line) for line in said.lines] == [
        {"type": "directory", "path": "/a", "left_out": "unreadable", "reason": "Permission denied"}
    ]


TOTALS = Totals(
    seen=10, ends={Outcome.NOT_DETECTED: 8, Left.SYMLINK: 2}, directories=3,
    directories_left={DirectoryLeft.PSEUDO: 1}, from_decisions=7, at_once=1, bytes=1234, bytes_read=100,
)  # fmt: skip


def test_the_summary_for_programs_has_every_count() -> None:
    """The last object says how the scan ended."""
    report = JsonReport(kept := Kept(), everything=False)
    report.ending(Ending(TOTALS, 1.23456, "unix:/s", 255, incomplete="ended by SIGINT"))
    assert json.loads(kept.lines[0]) == {
        "type": "summary", "complete": False, "incomplete": "ended by SIGINT", "exit_code": 2,
        "entries": 10, "files": 8, "outcomes": {"not detected": 8, "symlink": 2}, "directories": 3,
        "directories_left_out": {"pseudo": 1}, "bytes": 1234, "bytes_read": 100, "bytes_sent": 0,
        "answered_from_earlier_scans": 7, "answered_at_once": 1, "answered_later": 0,
        "asked_without_reading": 0, "seconds": 1.235, "svm": "unix:/s", "generation": "00000000000000ff",
    }  # fmt: skip


def test_the_summary_for_people_is_a_table() -> None:
    """Counts stand beside their names; an incomplete scan says so."""
    report = TextReport(kept := Kept(), everything=False)
    report.ending(Ending(TOTALS, 1.23456, "unix:/s", 255, incomplete="ended by SIGINT"))
    table = {line[:30].strip(): line[30:].strip() for line in kept.lines}
    assert table["files"] == "8"
    assert table["not detected"] == "8"
    assert table["answered from earlier scans"] == "7"
    assert table["time"] == "1.23 s"
    assert kept.lines[-1] == "not complete: ended by SIGINT"


@pytest.mark.parametrize(
    ("totals", "incomplete", "code"),
    [
        (TOTALS, "", 0),
        (TOTALS, "ended by SIGINT", 2),
        (Totals(ends={Outcome.MALICIOUS: 1}), "", 1),
        (Totals(ends={Outcome.SUSPICIOUS: 1, Outcome.UNREADABLE: 1}), "ended by SIGINT", 1),
        (Totals(ends={Outcome.ENCRYPTED: 1}), "", 2),
        (Totals(ends={Left.VANISHED: 1, Left.OVER_SIZE: 1, Left.FIFO: 1}), "", 0),
        (Totals(directories_left={DirectoryLeft.UNREADABLE: 1}), "", 2),
        (Totals(directories_left={DirectoryLeft.LOOP: 1, DirectoryLeft.EXCLUDED: 1}), "", 0),
    ],
)
def test_exit_codes_are_those_of_clamscan(totals: Totals, incomplete: str, code: int) -> None:
    """A finding wins; else whatever was not looked at is an error; what was left out on purpose is none."""
    assert Ending(totals, 1.0, "unix:/s", 1, incomplete).exit_code == code
