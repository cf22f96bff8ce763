"""Tests of what never leaves the guest."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guest_stub.excludes import Excludes
from guest_stub.secret import Secret, secret_globs


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with an identity and a quarantine."""
    for name in ("identity/identity.json", "identity/a.part", "quarantine/key", "quarantine/x", "journal"):
        (tmp_path / "state" / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (tmp_path / "state" / name).touch(mode=0o600)
    return tmp_path / "state"


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A file's descriptor."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("identity/identity.json", True),
        ("identity/a.part", True),
        ("quarantine/key", True),
        ("quarantine/x", False),
        ("journal", False),
    ],
)
def test_keys_are_told_from_others(state: Path, name: str, is_secret: bool) -> None:
    """By where they lie, also while they are written."""
    with opened(state / name) as fd:
        assert Secret(state).holds(fd) is is_secret
    assert Excludes(secret_globs(state)).covers(str(state / name)) is is_secret


def test_another_name_hides_no_key(state: Path, tmp_path: Path) -> None:
    """As by way of another mount."""
    os.link(state / "identity/identity.json", tmp_path / "linked")
    with opened(tmp_path / "linked") as fd:
        assert Secret(state).holds(fd)


def test_what_others_could_write_is_no_key(state: Path, tmp_path: Path) -> None:
    """Nobody gets something past the SVM by it."""
    file = state / "identity/identity.json"
    file.chmod(0o644)
    with opened(file) as fd:
        assert not Secret(state).holds(fd)
    file.chmod(0o600)
    file.write_bytes(bytes(100_000))
    with opened(file) as fd:
        assert not Secret(state).holds(fd)
    (tmp_path / "identity.json").touch(mode=0o600)
    with opened(tmp_path / "identity.json") as fd:
        assert not Secret(state).holds(fd)


def test_the_state_of_the_system_is_among_them(tmp_path: Path) -> None:
    """Whichever state directory a scan is given; one that is not there yet is no fault."""
    excludes = Excludes(secret_globs(tmp_path / "a[b]"))
    assert excludes.covers("/var/lib/kvm-light-agent/stub/identity/identity.json")
    assert excludes.covers(f"{tmp_path}/a[b]/quarantine/key")
    assert not excludes.covers("/var/lib/kvm-light-agent/stub/journal")
    with opened(Path(__file__)) as fd:
        assert not Secret(tmp_path / "none").holds(fd)
