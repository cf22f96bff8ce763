"""Tests of `guest-stub quarantine`."""

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from guest_stub.cli.arguments import parse
from guest_stub.cli.quarantine import NeverRan, Says, quarantine
from guest_stub.cli.setup import prepare
from guest_stub.remediation.done import Refused
from guest_stub.remediation.quarantine import Quarantine
from guest_stub.remediation.restoring import NotRestored
from guest_stub.remediation.store import NoSuchEntry
from tests.support import quarantined
from tests.support.quarantined import BAD, bad_file, take


@dataclass
class Ran:
    """How a command ended, and what it said."""

    code: int = -1
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What it said with --json."""
        return [json.loads(line) for line in self.out]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Quarantine]:
    """Who takes files; it stays open while the commands run."""
    with quarantined.quarantine(tmp_path) as opened:
        yield opened


def run(directory: Path, *words: str) -> Ran:
    """Run `guest-stub quarantine` with these words."""
    ran = Ran()
    options = parse(["quarantine", *words, "--state", str(directory)])
    ran.code = quarantine(options, prepare(options, {}), Says(ran.out.append, ran.err.append))
    return ran


def test_the_list(daemon: Quarantine, tmp_path: Path) -> None:
    """A line for each, oldest first, and how much it is together; nothing in it acts on a terminal."""
    first = take(daemon, bad_file(tmp_path / "\x1b[2Jfirst"), "T\u202e").entry
    second = take(daemon, bad_file(tmp_path / "second", b"x")).entry
    ran = run(tmp_path, "list")
    assert (ran.code, ran.err) == (0, [])
    assert ran.out == [
        rf"{first}  2030-03-17T17:46:40+00:00          1,320  T\u202e  {tmp_path}/\x1b[2Jfirst",
        f"{second}  2030-03-17T17:46:40+00:00              1  Test.File  {tmp_path}/second",
        "2 files, 1,321 bytes; the bound is 1,073,741,824 bytes",
    ]


@pytest.mark.parametrize(
    "words", [("list",), ("list", "--json"), ("show", "0" * 12), ("restore", "0" * 12), ("delete", "--all")]
)
def test_a_state_directory_that_is_not_there_is_not_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A wrong --state is no empty quarantine."""
    with pytest.raises(NeverRan, match=r"/wrong/state is not there: no stub has run on it"):
        run(tmp_path / "wrong" / "state", *words)
    assert list(tmp_path.iterdir()) == []


def test_a_state_directory_without_a_quarantine_has_an_empty_one(tmp_path: Path) -> None:
    """As where only scans were made."""
    ran = run(tmp_path, "list")
    assert (ran.code, ran.out) == (0, ["0 files, 0 bytes; the bound is 1,073,741,824 bytes"])


def test_the_list_as_json(daemon: Quarantine, tmp_path: Path) -> None:
    """An object a line, all of it ASCII, then a summary; one that cannot be opened is there, with why."""
    take(daemon, bad_file(tmp_path / os.fsdecode(b"\xff")))
    (tmp_path / "quarantine" / "0123456789ab.sealed").write_bytes(b"x" * 99)
    ran = run(tmp_path, "list", "--json")
    assert ran.code == 2
    assert all(line.isascii() for line in ran.out)
    by_type = {told["type"]: told for told in ran.objects}
    assert base64.b64decode(by_type["quarantined"]["path_b64"]).endswith(b"/\xff")
    assert by_type["broken"] == {"type": "broken", "id": "0123456789ab", "reason": "it is no sealed file"}
    assert by_type["summary"] == {
        "type": "summary", "files": 2, "bytes": len(BAD), "broken": 1, "bound_bytes": 1 << 30,
    }  # fmt: skip
    assert "0123456789ab  CANNOT BE OPENED (it is no sealed file)" in run(tmp_path, "list").out


def test_an_empty_quarantine(tmp_path: Path) -> None:
    """Also before anything was ever taken; no key is made for a look."""
    assert run(tmp_path, "list").out == ["0 files, 0 bytes; the bound is 1,073,741,824 bytes"]
    assert os.listdir(tmp_path / "quarantine") == []


def test_one_is_shown(daemon: Quarantine, tmp_path: Path) -> None:
    """With all that is known of it, in lines or as JSON."""
    path = bad_file(tmp_path / "file")
    path.chmod(0o640)
    os.setxattr(path, "user.note", b"\x00\xff")
    id = take(daemon, path).entry
    ran = run(tmp_path, "show", id)
    assert ran.code == 0
    for line in (f"path: {path}", "threat: Test.File", "size: 1320", "mode: 0640", "xattr: user.note = 00ff"):
        assert line in ran.out
    [told] = run(tmp_path, "show", id, "--json").objects
    assert (told["type"], told["id"], told["xattrs"]) == ("quarantined", id, {"user.note": "00ff"})


def test_one_is_restored(daemon: Quarantine, tmp_path: Path) -> None:
    """In its place; and it is said what has to happen so that it stays."""
    path = bad_file(tmp_path / "file")
    id = take(daemon, path).entry
    ran = run(tmp_path, "restore", id)
    assert (ran.code, ran.out, path.read_bytes()) == (0, [f"restored: {path}"], BAD)
    assert "svm verdicts set" in ran.err[-1]
    assert list(daemon.entries()) == []


def test_one_is_restored_elsewhere(daemon: Quarantine, tmp_path: Path) -> None:
    """Never in place of something; what could not be given back makes it code 2."""
    id = take(daemon, bad_file(tmp_path / "file")).entry
    bad_file(tmp_path / "there", b"old")
    with pytest.raises(NotRestored, match="--to"):
        run(tmp_path, "restore", id, "--to", str(tmp_path / "there"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "guest_stub.remediation.restoring.give", lambda *_: ["the times could not be given back"]
        )
        ran = run(tmp_path, "restore", id, "--to", str(tmp_path / "here"))
    assert (ran.code, ran.err[0]) == (2, "guest-stub: the times could not be given back")
    assert ((tmp_path / "here").read_bytes(), (tmp_path / "there").read_bytes()) == (BAD, b"old")


def test_some_or_all_are_deleted(daemon: Quarantine, tmp_path: Path) -> None:
    """One that is not there does not keep the others, and makes it code 2."""
    ids = [take(daemon, bad_file(tmp_path / name)).entry for name in "abc"]
    ran = run(tmp_path, "delete", ids[0], "../key")
    assert (ran.code, ran.out) == (2, [f"deleted: {ids[0]}"])
    assert ran.err == ["guest-stub: ../key is no id of an entry: see guest-stub quarantine list"]
    assert sorted(run(tmp_path, "delete", "--all").out) == sorted(f"deleted: {id}" for id in ids[1:])
    assert list(daemon.entries()) == []


def test_one_is_exported(daemon: Quarantine, tmp_path: Path) -> None:
    """In a ZIP, or bare by an option; it stays in the quarantine."""
    id = take(daemon, bad_file(tmp_path / "file")).entry
    ran = run(tmp_path, "export", id, str(tmp_path / "a.zip"))
    assert ran.out == [f'exported, with the password "infected": {tmp_path}/a.zip']
    assert (tmp_path / "a.zip").read_bytes().startswith(b"PK")
    run(tmp_path, "export", id, str(tmp_path / "raw"), "--raw")
    assert (tmp_path / "raw").read_bytes() == BAD
    with pytest.raises(Refused, match="is there already"):
        run(tmp_path, "export", id, str(tmp_path / "raw"))
    assert len(list(daemon.entries())) == 1


@pytest.mark.parametrize("words", [("show", "abc"), ("restore", "abc"), ("export", "abc", "/tmp/x")])
def test_an_id_that_is_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The program makes one line and code 2 of it."""
    with pytest.raises(NoSuchEntry, match="abc is no id of an entry"):
        run(tmp_path, *words)
