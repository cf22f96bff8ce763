"""Tests of sealing: what was judged is sealed and removed, anything else is left alone."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guest_stub.reading import read_quietly
from guest_stub.remediation import removal, sealing
from guest_stub.remediation.bounds import TooLarge
from guest_stub.remediation.cipher import Key
from guest_stub.remediation.facts import Judged
from guest_stub.remediation.removal import Changed
from guest_stub.remediation.sealed import PIECE_BYTES
from guest_stub.remediation.sealing import delete, describe, judged_path, read_judged, seal_and_remove
from guest_stub.remediation.store import Store
from tests.support.quarantined import BAD, NOON_NS, bad_file, judged, open_for_reading

KEY = Key(b"k" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An open one."""
    opened = Store(tmp_path / "quarantine")
    yield opened
    opened.close()


def files(store: Store) -> list[str]:
    """What is in the store, without its lock."""
    return sorted(set(os.listdir(store.directory)) - {"lock"})


def sealed(store: Store, path: Path, facts: Judged, room: Callable[[int], list[str]] = lambda _: []) -> None:
    """Seal and remove the file under this judgement."""
    with open_for_reading(path) as fd:
        seal_and_remove(store, KEY, room, fd, describe(fd, facts, NOON_NS))


def test_the_size_that_room_is_made_for_is_the_size_it_gets(store: Store, tmp_path: Path) -> None:
    """To the byte; and the sealed file carries the time at which it was sealed."""
    path = bad_file(tmp_path / "file", os.urandom(2 * PIECE_BYTES + 7))
    asked: list[int] = []

    def room(size: int) -> list[str]:
        asked.append(size)
        return []

    sealed(store, path, judged(path), room)
    [kept] = store.kept()
    assert ([kept.bytes], kept.time_ns) == (asked, NOON_NS)
    assert not path.exists()


def test_a_content_that_was_not_judged_is_left(store: Store, tmp_path: Path) -> None:
    """Even if all that a file shows without being read is unchanged: it may be written by a mapping."""
    path = bad_file(tmp_path / "file")
    wrong = replace(judged(path), sha256=hashlib.sha256(b"other").digest())
    with pytest.raises(Changed, match="its content is not what was judged"):
        sealed(store, path, wrong)
    with open_for_reading(path) as fd, pytest.raises(Changed):
        delete(store, fd, wrong)
    assert (path.read_bytes(), files(store)) == (BAD, [])


def test_a_write_while_it_is_sealed_leaves_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is removed, nothing is kept of it."""
    path = bad_file(tmp_path / "file")

    def read(fd: int, piece: memoryview, position: int) -> int:
        count = read_quietly(fd, piece, position)
        bad_file(path, bytes(len(BAD)))
        return count

    monkeypatch.setattr(sealing, "read_quietly", read)
    with pytest.raises(Changed, match="changed since it was judged"):
        sealed(store, path, judged(path))
    assert (path.read_bytes(), files(store)) == (bytes(len(BAD)), [])


def test_who_moves_its_times_meanwhile_saves_no_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it is looked at they have moved: what counts is that it has the content that was judged."""
    path = bad_file(tmp_path / "file")
    real, facts = removal.check_there, judged(path)

    def check(fd: int, judged: Judged) -> os.stat_result:
        os.utime(fd)
        os.fchmod(fd, 0o600)
        return real(fd, judged)

    for module in (removal, sealing):
        monkeypatch.setattr(module, "check_there", check)
    sealed(store, path, facts)
    assert not path.exists()
    assert len(files(store)) == 1


def test_a_file_that_shrinks_is_left(tmp_path: Path) -> None:
    """It ends before the size that was judged."""
    path = bad_file(tmp_path / "file", bytes(2 * PIECE_BYTES))
    with open_for_reading(path) as fd, pytest.raises(Changed, match="became shorter"):
        read_judged(fd, judged(path), lambda _: os.truncate(path, 5))


def test_what_there_is_no_room_for_is_left(store: Store, tmp_path: Path) -> None:
    """Nothing was begun."""
    path = bad_file(tmp_path / "file")

    def refuse(_: int) -> list[str]:
        raise TooLarge

    with pytest.raises(TooLarge):
        sealed(store, path, judged(path), refuse)
    assert (path.read_bytes(), files(store)) == (BAD, [])


@pytest.mark.parametrize("name", ["seal", "forget"])
def test_a_disk_that_fails(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Before the removal the file is left; after it the sealed copy is, whatever becomes of the note."""
    path = bad_file(tmp_path / "file")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store, name, fail)
    if name == "seal":
        with pytest.raises(OSError, match="Input/output"):
            sealed(store, path, judged(path))
        assert (path.read_bytes(), files(store)) == (BAD, [])
    else:
        sealed(store, path, judged(path))
        assert (path.exists(), [name[12:] for name in files(store)]) == (False, [".removing", ".sealed"])


def test_a_deletion_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """Neither a copy nor a note."""
    path = bad_file(tmp_path / "file")
    with open_for_reading(path) as fd:
        assert delete(store, fd, judged(path)).unnamed
    assert (path.exists(), files(store)) == (False, [])


def test_the_kernels_word_on_the_path_goes_before_the_callers(tmp_path: Path) -> None:
    """The caller's counts where the kernel has none; nothing is restored there without a person's word."""
    path = bad_file(tmp_path / "file")
    hint = replace(judged(path), path=b"/hint")
    with open_for_reading(path) as fd:
        assert judged_path(fd, hint) == os.fsencode(path)
        assert describe(fd, hint, 0).placed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sealing, "path_of", lambda _: b"")
            entry = describe(fd, hint, 0)
    assert (entry.path, entry.placed) == (b"/hint", False)
