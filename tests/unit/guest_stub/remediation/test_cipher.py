"""Tests of the quarantine's key and of what is encrypted with it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from guest_stub.remediation.cipher import TAG_BYTES, Forged, Key, KeyRefused, load_key
from tests.support.apart import ROOT, environment

BEGINNING = bytes(range(48))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    """An open directory."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_the_key_is_made_once_and_is_its_users_alone(directory: int, tmp_path: Path) -> None:
    """Without a wish for one there is none; then it stays the same, and nobody else may read it."""
    assert load_key(directory, make=False) is None
    made = load_key(directory, make=True)
    again = load_key(directory, make=True)
    assert made is not None
    assert again is not None
    assert made.id == again.id
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_all_who_make_the_key_at_once_get_the_same(directory: int) -> None:
    """One of them makes it."""
    ids: list[bytes] = []

    def make() -> None:
        key = load_key(directory, make=True)
        assert key is not None
        ids.append(key.id)

    threads = [Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(ids), len(set(ids))) == (16, 1)


@pytest.mark.parametrize(("content", "mode"), [(b"x" * 31, 0o600), (b"x" * 33, 0o600), (b"x" * 32, 0o640)])
def test_a_key_that_cannot_be_one_is_refused(
    directory: int, tmp_path: Path, content: bytes, mode: int
) -> None:
    """Of another length, or open to others; the message says what to do."""
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyRefused, match=r"put it back from a backup|chmod it to 600"):
        load_key(directory, make=True)


def test_a_key_behind_a_link_is_not_followed(directory: int, tmp_path: Path) -> None:
    """A symbolic link in its place is refused."""
    (tmp_path / "key").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="symbolic links"):
        load_key(directory, make=True)


def test_pieces_open_in_their_order_only() -> None:
    """Under the same key and label, at the same place; anything else is forged."""
    key = Key(b"k" * 32)
    sealer = key.of_file(BEGINNING)
    first, second = sealer.seal(b"first", b"label"), sealer.seal(b"second", b"label")
    assert len(first) == len(b"first") + TAG_BYTES
    opener = key.of_file(BEGINNING)
    assert [opener.open(first, b"label"), opener.open(second, b"label")] == [b"first", b"second"]
    for wrong, piece, label in [
        (key.of_file(BEGINNING), second, b"label"),
        (key.of_file(BEGINNING), first, b"other"),
        (key.of_file(BEGINNING), first[:-1] + bytes([first[-1] ^ 1]), b"label"),
        (key.of_file(BEGINNING[::-1]), first, b"label"),
        (Key(b"l" * 32).of_file(BEGINNING), first, b"label"),
    ]:
        with pytest.raises(Forged):
            wrong.open(piece, label)


def test_a_stub_without_finds_does_not_load_the_package() -> None:
    """It is imported when something is sealed or opened, and not with the program."""
    modules = "guest_stub.__main__, guest_stub.remediation.actions"
    script = f"import sys, {modules}; print('cryptography' in sys.modules)"
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
