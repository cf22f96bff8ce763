"""Tests of the directory of an identity: private, whole, one program at a time."""

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from guest_stub.identity import store as module
from guest_stub.identity.kept import MAX_BYTES, Pending, by_host
from guest_stub.identity.store import IdentityRefused, IdentityStore
from guest_stub.svm_link.target import NotEnrolled
from tests.unit.guest_stub.identity.test_kept import SOUND


def filled(directory: Path) -> IdentityStore:
    """A store with an identity."""
    store = IdentityStore(directory / "state")
    with store.open() as opened:
        opened.keep(SOUND)
    return store


def test_what_is_kept_is_read_and_is_the_owners_alone(tmp_path: Path) -> None:
    """Directory 0700, file 0600; there is nothing before."""
    assert IdentityStore(tmp_path / "state").read() is None
    assert not (tmp_path / "state").exists()
    store = filled(tmp_path)
    assert store.read() == SOUND
    assert store.proof() == SOUND.proof
    assert [
        oct(path.stat().st_mode & 0o7777) for path in (store.directory, store.directory / "identity.json")
    ] == [
        "0o700",
        "0o600",
    ]


def test_one_who_is_not_enrolled_has_no_proof(tmp_path: Path) -> None:
    """And is told what to do."""
    with pytest.raises(NotEnrolled, match="run: guest-stub enrol"):
        IdentityStore(tmp_path).proof()


def test_a_key_waits_for_its_certificate(tmp_path: Path) -> None:
    """It is found by what it was asked for with, and gone when the identity is there."""
    store = IdentityStore(tmp_path)
    with store.open() as opened:
        opened.keep_pending(Pending("ab", "key"))
        assert opened.identity() is None
    with store.open() as opened:
        assert opened.pending("ab") == Pending("ab", "key")
        assert opened.pending("cd") is None
        opened.keep(SOUND)
        assert opened.pending("ab") is None
        assert opened.identity() == SOUND
    (store.directory / "pending.json").write_text("{")
    (store.directory / "pending.json").chmod(0o600)
    with store.open() as opened:
        assert opened.pending("ab") is None


def test_what_a_kill_has_left_is_taken_away(tmp_path: Path) -> None:
    """By the next one who writes."""
    store = filled(tmp_path)
    (store.directory / "identity.json.0011.part").write_text("half")
    with store.open() as opened:
        opened.keep(SOUND)
    assert os.listdir(store.directory) == ["identity.json"]


def test_a_directory_or_a_file_of_others_is_not_used(tmp_path: Path) -> None:
    """The key might be theirs."""
    store = filled(tmp_path)
    (store.directory / "identity.json").chmod(0o640)
    with pytest.raises(IdentityRefused, match=r"identity\.json: others may use it \(mode 0640\): chmod go="):
        store.read()
    (store.directory / "identity.json").chmod(0o600)
    store.directory.chmod(0o750)
    with pytest.raises(IdentityRefused, match=r"identity: others may use it \(mode 0750\)"):
        store.read()
    with pytest.raises(IdentityRefused, match="others may use it"), store.open():
        pass
    store.directory.chmod(0o700)
    os.chown(store.directory, 1234, -1)
    with pytest.raises(IdentityRefused, match="belongs to another user"):
        store.read()
    with pytest.raises(IdentityRefused, match="belongs to another user"), store.open():
        pass


def test_no_link_is_followed(tmp_path: Path) -> None:
    """Neither to another directory nor to another file, for reading and for writing."""
    store, other = filled(tmp_path), tmp_path / "other"
    store.directory.rename(other)
    store.directory.symlink_to(other)
    for use in (store.read, lambda: store.open().__enter__()):
        with pytest.raises(IdentityRefused, match="is a link or no directory"):
            use()
    store.directory.unlink()
    other.rename(store.directory)
    (store.directory / "identity.json").rename(tmp_path / "identity.json")
    (store.directory / "identity.json").symlink_to(tmp_path / "identity.json")
    with pytest.raises(IdentityRefused, match="is a link"):
        store.read()
    before = (tmp_path / "identity.json").read_bytes()
    with store.open() as opened:
        opened.keep(SOUND)
    assert not (store.directory / "identity.json").is_symlink()
    assert (tmp_path / "identity.json").read_bytes() == before


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A FIFO, a directory, a file without an end."""
    store = filled(tmp_path)
    file = store.directory / "identity.json"
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.raises(IdentityRefused, match="is something else"):
        store.read()
    file.unlink()
    file.write_bytes(b" " * (MAX_BYTES * 4))
    file.chmod(0o600)
    with pytest.raises(IdentityRefused, match=r"it is damaged .*move it away, and enrol anew"):
        store.read()


def test_one_program_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits, and not for ever."""
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.0)
    store = filled(tmp_path)
    held = os.open(store.directory, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(IdentityRefused, match="another guest-stub is enrolling or renewing"), store.open():
        pass
    assert store.read() == SOUND  # who only reads does not wait
    os.close(held)
    with store.open():
        pass


def test_a_disk_that_takes_nothing_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no half of it."""
    store = filled(tmp_path)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    with store.open() as opened:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(IdentityRefused, match=r"identity\.json: No space left on device"):
            opened.keep(SOUND)
    assert os.listdir(store.directory) == ["identity.json"]
    assert store.read() == SOUND


def test_a_copy_shows_nothing_of_the_original(tmp_path: Path) -> None:
    """The original is not disturbed by it: it would else be taken for one that is in two places."""
    original = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    kept = replace(SOUND, guest=original, asked_with=by_host(original))
    with IdentityStore(tmp_path).open() as opened:
        opened.keep(kept)
    assert IdentityStore(tmp_path, lambda: original).proof() == kept.proof
    with pytest.raises(NotEnrolled, match=f"this machine is a copy of {original}.*enrol --from-host"):
        IdentityStore(tmp_path, lambda: original.replace("6", "7")).proof()
