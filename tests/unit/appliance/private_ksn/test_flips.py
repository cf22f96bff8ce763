"""Which zones change when a feed's file does."""

from pathlib import Path

import pytest

from appliance.private_ksn import flips as flips_module
from appliance.private_ksn.feed_file import FeedFile, FeedWriter
from appliance.private_ksn.flips import flips
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.store import Flip


def file(path: Path, zones: dict[bytes, Zone]) -> FeedFile:
    """A feed's file with these."""
    with FeedWriter(path) as writer:
        for key, zone in zones.items():
            writer.add((key,), Reputation(zone))
        writer.finish()
    return FeedFile(path, "x")


def zones(found: list[Flip] | None) -> list[tuple[bytes, Zone | None]]:
    """The changes without their words."""
    assert found is not None
    return [(key, word.zone if word else None) for key, word in found]


def nobody(_key: bytes) -> tuple[None, bool]:
    """No other source knows anything."""
    return None, False


def test_come_gone_and_changed(tmp_path: Path) -> None:
    """Each key whose zone differs, in order; what is the same in both is not told."""
    old = file(tmp_path / "old", {b"da": Zone.RED, b"db": Zone.RED, b"dc": Zone.RED})
    new = file(tmp_path / "new", {b"db": Zone.GREEN, b"dc": Zone.RED, b"dd": Zone.YELLOW})
    assert zones(flips(old, new, nobody)) == [(b"da", None), (b"db", Zone.GREEN), (b"dd", Zone.YELLOW)]
    assert flips(None, new, lambda _key: (Reputation(Zone.RED), False)) == []
    assert flips(None, new, lambda _key: (Reputation(Zone.GREEN), True)) == []
    old.close()
    new.close()


def test_more_than_are_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count may be reached and not passed."""
    monkeypatch.setattr(flips_module, "KEPT_CHANGES", 2)
    two = file(tmp_path / "two", {b"da": Zone.RED, b"db": Zone.RED})
    three = file(tmp_path / "three", {b"da": Zone.RED, b"db": Zone.RED, b"dc": Zone.RED})
    assert zones(flips(None, two, nobody)) == [(b"da", Zone.RED), (b"db", Zone.RED)]
    assert flips(None, three, nobody) is None
    two.close()
    three.close()


def test_a_change_comes_with_what_is_said_now(tmp_path: Path) -> None:
    """The worst word's threat, and the program as whoever knows it has it; or what others still say."""
    with FeedWriter(tmp_path / "new") as writer:
        writer.add((b"da",), Reputation(Zone.RED, "Trojan.X"))
        writer.finish()
    new = FeedFile(tmp_path / "new", "x")
    known = Reputation(Zone.GREY, "", "Browser", "Firefox")
    assert flips(None, new, lambda _key: (known, False)) == [
        (b"da", Reputation(Zone.RED, "Trojan.X", "Browser", "Firefox", source="x"))
    ]
    assert flips(new, None, lambda _key: (known, False)) == [(b"da", known)]
    new.close()
