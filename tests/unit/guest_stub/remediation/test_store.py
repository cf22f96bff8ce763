"""Tests of the files of a quarantine and their locks."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from guest_stub.remediation.store import (
    PART,
    SEALED,
    Busy,
    NoSuchEntry,
    QuarantineRefused,
    Store,
)

ID, OTHER = "0123456789ab", "ba9876543210"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An open one."""
    opened = Store(tmp_path / "state" / "quarantine")
    yield opened
    opened.close()


def put(store: Store, id: str, content: bytes = b"x") -> None:
    """Make an entry."""
    with store.locked():
        fd = store.make(id, PART)
    os.write(fd, content)
    store.seal(id)
    os.close(fd)


def test_the_directory_is_its_users_alone(store: Store, tmp_path: Path) -> None:
    """Made so, and made so again."""
    assert store.directory.stat().st_mode & 0o777 == 0o700
    store.directory.chmod(0o755)
    Store(store.directory).close()
    assert store.directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A file, a link, another user's; in a sentence that says what to do."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "file/below"):
        with pytest.raises(QuarantineRefused, match="name another directory by --state"):
            Store(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    """He could put there what he likes."""
    os.chown(tmp_path, 4711, 4711)
    with pytest.raises(QuarantineRefused, match=r"another user \(uid 4711\): become that user"):
        Store(tmp_path)


def test_entries_are_listed_oldest_first(store: Store) -> None:
    """By the time that they carry; other files, and those being made, are none."""
    put(store, OTHER, b"four")
    put(store, ID)
    for id, time in ((ID, 1), (OTHER, 2)):
        os.utime(store.directory / (id + SEALED), ns=(time, time))
    with store.locked():
        os.close(store.make("aaaaaaaaaaaa", PART))
    (store.directory / "notes.sealed").touch()
    assert store.kept() == [(1, ID, 1), (2, OTHER, 4)]
    assert store.names(PART) == ["aaaaaaaaaaaa"]
    assert (store.directory / (ID + SEALED)).stat().st_mode & 0o777 == 0o600


def test_an_entry_is_held_by_one_at_a_time(store: Store) -> None:
    """Another hears that it is in use, and afterwards that it is gone."""
    put(store, ID)
    again = Store(store.directory)
    with store.held(ID) as fd:
        assert os.read(fd, 9) == b"x"
        with pytest.raises(Busy, match="in use by another program"), again.held(ID):
            pass
        store.forget(ID, SEALED)
    with pytest.raises(NoSuchEntry, match=f"{ID} is not in the quarantine"), again.held(ID):
        pass
    again.close()


def test_one_that_is_being_sealed_is_held(store: Store) -> None:
    """From its beginning until its maker lets go."""
    with store.locked():
        fd = store.make(ID, PART)
    store.seal(ID)
    with pytest.raises(Busy), store.held(ID):
        pass
    os.close(fd)
    with store.held(ID):
        pass


@pytest.mark.parametrize("id", ["", "../key", "key", "0123456789a", "0123456789AB", ID])
def test_what_is_no_entry_is_not_opened(store: Store, id: str) -> None:
    """Nothing but an id leads to a file."""
    (store.directory / "key").touch()
    with pytest.raises(NoSuchEntry, match="see guest-stub quarantine list"):
        store.read(id)


def test_what_is_forgotten_twice_is_forgotten(store: Store) -> None:
    """It was to be gone, and it is."""
    put(store, ID)
    store.forget(ID, SEALED)
    store.forget(ID, SEALED)
    assert store.kept() == []


def test_one_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """With each use, where the daemon is not to end for it."""
    (tmp_path / "state").write_text("")
    with pytest.raises(QuarantineRefused, match="Not a directory"):
        Store(tmp_path / "state" / "quarantine")
    with closing(Store(tmp_path / "state" / "quarantine", waits=True)) as store:
        with pytest.raises(QuarantineRefused, match="Not a directory"):
            store.names(".sealed")
        (tmp_path / "state").unlink()
        assert store.names(".sealed") == []
