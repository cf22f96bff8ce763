"""Tests of what a start finds."""

import os
from pathlib import Path

from guest_stub.decision import FileId
from guest_stub.remediation.intention import Intention, write
from guest_stub.remediation.removal import beside
from guest_stub.remediation.store import PART, REMOVING, Store
from guest_stub.remediation.tidying import tidy
from tests.support.quarantined import bad_file

ID = "0123456789ab"


def left_over(store: Store, path: Path, sealed: bool) -> int:
    """The note of a removal whose program has ended once this descriptor is closed."""
    fd = store.make(ID, REMOVING)
    write(fd, Intention(ID, os.fsencode(path), FileId.of(os.lstat(path)), sealed))
    return fd


def test_what_is_half_made_goes_and_what_is_being_made_stays(tmp_path: Path) -> None:
    """A lock tells the two apart; the key's beginnings go as well."""
    store = Store(tmp_path / "q")
    with store.locked():
        os.close(store.make(ID, PART))
        alive = store.make("ba9876543210", PART)
    (tmp_path / "q" / "key.0011223344556677.part").touch()
    assert tidy(store) == []
    assert store.names(PART) == ["ba9876543210"]
    assert not (tmp_path / "q" / "key.0011223344556677.part").exists()
    os.close(alive)


def test_a_removal_whose_program_lives_is_left_alone(tmp_path: Path) -> None:
    """It ends by itself; once the program is gone it is seen through, and that is said."""
    store, path = Store(tmp_path / "q"), bad_file(tmp_path / "\x1bfile")
    fd = left_over(store, path, sealed=False)
    assert tidy(store) == []
    assert path.exists()
    os.close(fd)
    assert tidy(store) == [rf"{tmp_path}/\x1bfile: its removal was interrupted; it is removed now"]
    assert (path.exists(), store.names(REMOVING)) == (False, [])


def test_nothing_is_removed_without_its_sealed_copy(tmp_path: Path) -> None:
    """The program ended before the copy was whole, or somebody dropped it since."""
    store, path = Store(tmp_path / "q"), bad_file(tmp_path / "file")
    os.close(left_over(store, path, sealed=True))
    assert tidy(store) == []
    assert (path.exists(), store.names(REMOVING)) == (True, [])


def test_a_note_that_is_half_written_is_forgotten(tmp_path: Path) -> None:
    """Nothing had begun."""
    store = Store(tmp_path / "q")
    fd = store.make(ID, REMOVING)
    os.write(fd, b'{"path"')
    os.close(fd)
    assert tidy(store) == []
    assert store.names(REMOVING) == []


def test_what_cannot_be_seen_through_is_said_and_tried_again(tmp_path: Path) -> None:
    """The file's name was taken since it was moved and changed."""
    store, path = Store(tmp_path / "q"), bad_file(tmp_path / "file")
    os.close(left_over(store, path, sealed=False))
    room = tmp_path / os.fsdecode(beside(ID))
    room.mkdir(mode=0o700)
    path.rename(room / "file")
    (room / "file").write_bytes(b"changed")
    bad_file(path)
    assert tidy(store) == [f"{path}: its removal was interrupted and cannot be ended: File exists"]
    assert store.names(REMOVING) == [ID]
