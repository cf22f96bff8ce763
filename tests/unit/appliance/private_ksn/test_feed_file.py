"""The file of one feed."""

from pathlib import Path

import pytest

from appliance.private_ksn import feed_file
from appliance.private_ksn.feed_file import FeedFile, FeedWriter
from appliance.private_ksn.reputation import Reputation, Zone

RED = Reputation(Zone.RED, "Evil", "virus", "name", 1_900_000_000)


def key(number: int) -> bytes:
    """A SHA-256's key."""
    return b"h" + number.to_bytes(32, "big")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """A record with its texts, under each of its keys; the feed's name is its source."""
    with FeedWriter(tmp_path / "f") as writer:
        writer.add((key(1), b"m" + bytes(16), b"s" + bytes(20)), RED)
        writer.add((b"dbad.example",), Reputation(Zone.ORANGE))
        assert writer.finish() == 4
    file = FeedFile(tmp_path / "f", "mb")
    known = Reputation(Zone.RED, "Evil", "virus", "name", 1_900_000_000, "mb")
    assert file.get(key(1)) == (known, key(1))
    assert file.get(b"m" + bytes(16)) == file.get(b"s" + bytes(20)) == (known, key(1))
    assert file.get(b"dbad.example") == (Reputation(Zone.ORANGE, source="mb"), b"dbad.example")
    assert file.get(key(2)) is None
    assert list(file.zones()) == [(b"dbad.example", Zone.ORANGE), (key(1), Zone.RED)]
    file.close()


def test_more_than_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries in any order and more texts than are remembered: all are found, in order."""
    monkeypatch.setattr(feed_file, "KEYS_AT_ONCE", 10)
    monkeypatch.setattr(feed_file, "LABELS_REMEMBERED", 3)
    with FeedWriter(tmp_path / "f") as writer:
        for number in (*range(99, -1, -1), 5):
            writer.add((key(number),), Reputation(Zone.RED, f"T{number % 7}"))
        assert writer.finish() == 100
    file = FeedFile(tmp_path / "f", "f")
    assert list(file.keys()) == [key(number) for number in range(100)]
    for number in range(100):
        found = file.get(key(number))
        assert found is not None
        assert found[0].threat == f"T{number % 7}"
    file.close()
