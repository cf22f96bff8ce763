"""Tests of the quarantine as a whole."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from guest_stub.remediation.done import Result
from guest_stub.remediation.facts import Entry
from guest_stub.remediation.quarantine import Broken
from guest_stub.remediation.store import NoSuchEntry
from tests.support.quarantined import (
    BAD,
    NOON_NS,
    bad_file,
    contents,
    judged,
    open_for_reading,
    quarantine,
    take,
)

DIGEST = hashlib.sha256(BAD).digest()


def test_what_is_taken_is_gone_and_sealed(tmp_path: Path) -> None:
    """Nothing of the content can be read in the quarantine, nor of its name; the entry tells both."""
    path = bad_file(tmp_path / "odd-name")
    path.chmod(0o755)
    with quarantine(tmp_path) as opened:
        done = take(opened, path, "Trojan.Test")
        assert (done.result, done.path, done.reason) == (Result.QUARANTINED, os.fsencode(path), "")
        assert not path.exists()
        [sealed] = (tmp_path / "quarantine").glob("*.sealed")
        assert sealed.stat().st_mode & 0o777 == 0o600
        for part in (BAD[:16], b"odd-name", b"Trojan"):
            assert part not in sealed.read_bytes()
        [entry] = opened.entries()
        assert isinstance(entry, Entry)
        assert entry == opened.entry(done.entry)
        assert (entry.path, entry.size, entry.sealed_at_ns) == (os.fsencode(path), len(BAD), NOON_NS)
        assert (entry.judged.threat, entry.judged.sha256) == ("Trojan.Test", DIGEST)
        assert contents(opened) == [BAD]


def test_it_outlives_the_program(tmp_path: Path) -> None:
    """Another one restores it."""
    path = bad_file(tmp_path / "file")
    with quarantine(tmp_path) as opened:
        id = take(opened, path).entry
    with quarantine(tmp_path) as opened:
        assert opened.tidy() == []
        opened.restore(id)
    assert path.read_bytes() == BAD


def test_the_same_content_twice(tmp_path: Path) -> None:
    """Two entries; each goes back to its own place."""
    paths = [bad_file(tmp_path / name) for name in ("a", "b")]
    with quarantine(tmp_path) as opened:
        for path in paths:
            take(opened, path)
        restored = opened.release(DIGEST)
        assert [one.problem for one in restored] == ["", ""]
        assert [path.read_bytes() for path in paths] == [BAD, BAD]
        assert list(opened.entries()) == []


def test_an_empty_file(tmp_path: Path) -> None:
    """It can be taken like any other."""
    path = bad_file(tmp_path / "file", b"")
    with quarantine(tmp_path) as opened:
        opened.restore(take(opened, path).entry)
    assert path.read_bytes() == b""


def test_release_is_for_one_digest_and_tells_what_stays(tmp_path: Path) -> None:
    """What was taken for another stays; so does what has no free place, with the reason."""
    first, second, third = (bad_file(tmp_path / name) for name in ("a", "b", "c"))
    other = bad_file(tmp_path / "other", b"bad for another reason")
    with quarantine(tmp_path) as opened:
        ids = [take(opened, path).entry for path in (first, second, third, other)]
        bad_file(first, b"newer")
        (tmp_path / "quarantine" / f"{ids[2]}.sealed").write_bytes(b"broken")
        released = {one.entry.id: one.problem for one in opened.release(DIGEST)}
        assert set(released) == {ids[0], ids[1]}
        assert released[ids[1]] == ""
        assert "there is a file of this name" in released[ids[0]]
        assert sorted(entry.id for entry in opened.entries()) == sorted([ids[0], ids[2], ids[3]])
    assert (first.read_bytes(), second.read_bytes(), other.exists()) == (b"newer", BAD, False)


def test_a_broken_entry_is_listed_and_can_be_dropped(tmp_path: Path) -> None:
    """With the reason, beside those that are whole."""
    with quarantine(tmp_path) as opened:
        whole = take(opened, bad_file(tmp_path / "a")).entry
        (tmp_path / "quarantine" / "0123456789ab.sealed").write_bytes(b"x" * 100)
        assert {entry.id: type(entry) for entry in opened.entries()} == {
            whole: Entry,
            "0123456789ab": Broken,
        }
        opened.drop("0123456789ab")
        opened.drop(whole)
        assert list(opened.entries()) == []
        with pytest.raises(NoSuchEntry):
            opened.drop(whole)


def test_a_lost_key_is_told_by_each_entry(tmp_path: Path) -> None:
    """New ones get a new key; the old ones open again when theirs is back."""
    with quarantine(tmp_path) as opened:
        id = take(opened, bad_file(tmp_path / "a")).entry
        (tmp_path / "quarantine" / "key").rename(tmp_path / "key")
        [entry] = opened.entries()
        assert isinstance(entry, Broken)
        assert "another key than the quarantine's: put that key back" in entry.why
        (tmp_path / "key").rename(tmp_path / "quarantine" / "key")
        assert opened.entry(id).id == id


def test_a_file_over_the_bound_is_left(tmp_path: Path) -> None:
    """It is said, and nothing was dropped for it."""
    with quarantine(tmp_path, bytes=10_000) as opened:
        take(opened, bad_file(tmp_path / "small"))
        done = take(opened, bad_file(tmp_path / "large", b"x" * 10_000))
        assert (done.result, done.entry) == (Result.TOO_LARGE, "")
        assert "quarantine_mib" in done.reason
        assert contents(opened) == [BAD]
    assert (tmp_path / "large").exists()


@pytest.mark.parametrize("action", ["take", "delete"])
def test_a_file_that_changed_is_left(tmp_path: Path, action: str) -> None:
    """It is told apart from a failure: it is to be judged anew."""
    path = bad_file(tmp_path / "file")
    facts = judged(path)
    path.write_bytes(b"other")
    with quarantine(tmp_path) as opened, open_for_reading(path) as fd:
        done = getattr(opened, action)(fd, facts)
        assert (done.result, done.reason) == (Result.CHANGED, "it was changed since it was judged")
    assert path.read_bytes() == b"other"


def test_a_deleted_file_is_gone(tmp_path: Path) -> None:
    """There is no entry of it."""
    path = bad_file(tmp_path / "file")
    with quarantine(tmp_path) as opened, open_for_reading(path) as fd:
        done = opened.delete(fd, judged(path))
        assert (done.result, done.path, list(opened.entries())) == (Result.DELETED, os.fsencode(path), [])
    assert not path.exists()


def test_many_at_once_keep_to_the_bound(tmp_path: Path) -> None:
    """Threads that take and restore at once; what is told is what is there."""
    with quarantine(tmp_path, bytes=200_000) as opened:
        paths = [bad_file(tmp_path / f"{number}", os.urandom(9_000)) for number in range(60)]
        dropped: list[str] = []

        def work(mine: list[Path]) -> None:
            for path in mine:
                done = take(opened, path)
                assert done.result is Result.QUARANTINED
                dropped.extend(done.dropped)

        threads = [threading.Thread(target=work, args=(paths[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sealed = list((tmp_path / "quarantine").glob("*.sealed"))
        assert len(sealed) + len(dropped) == len(paths)
        assert sum(path.stat().st_size for path in sealed) <= 200_000
        assert len(contents(opened)) == len(sealed) > 10
