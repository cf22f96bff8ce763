"""Which zones change when a feed's file does."""

from pathlib import Path

import pytest

from appliance.private_ksn import flips as flips_module
from appliance.private_ksn.feed_file import FeedFile, FeedWriter
from appliance.private_ksn.flips import flips
from appliance.private_ksn.reputation import Reputation, Zone


def file(path: Path, zones: dict[bytes, Zone]) -> FeedFile:
    """A feed's file with these."""
    with FeedWriter(path) as writer:
        for key, zone in zones.items():
            writer.add((key,), Reputation(zone))
        writer.finish()
    return FeedFile(path, "x")


def nobody(_key: bytes) -> tuple[None, bool]:
    """No other source knows anything."""
    return None, False


def test_come_gone_and_changed(tmp_path: Path) -> None:
    """Each key whose zone differs, in order; what is the same in both is not told."""
    old = file(tmp_path / "old", {b"da": Zone.RED, b"db": Zone.RED, b"dc": Zone.RED})
    new = file(tmp_path / "new", {b"db": Zone.GREEN, b"dc": Zone.RED, b"dd": Zone.YELLOW})
    assert flips(old, new, nobody) == [(b"da", None), (b"db", Zone.GREEN), (b"dd", Zone.YELLOW)]
    assert flips(None, new, lambda _key: (Reputation(Zone.RED), False)) == []
    assert flips(None, new, lambda _key: (Reputation(Zone.GREEN), True)) == []
    old.close()
    new.close()


def test_more_than_are_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count may be reached and not passed."""
    monkeypatch.setattr(flips_module, "KEPT_CHANGES", 2)
    two = file(tmp_path / "two", {b"da": Zone.RED, b"db": Zone.RED})
    three = file(tmp_path / "three", {b"da": Zone.RED, b"db": Zone.RED, b"dc": Zone.RED})
    assert flips(None, two, nobody) == [(b"da", Zone.RED), (b"db", Zone.RED)]
    assert flips(None, three, nobody) is None
    two.close()
    three.close()
