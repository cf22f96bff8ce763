"""Whether a guest is in two places."""

import pytest

from appliance.identity import clones as module
from appliance.identity.clones import (
    ADDRESS_RETURNS,
    REMEMBERED,
    SETTLING_SECONDS,
    WITHIN_SECONDS,
    Clones,
    Life,
)

STEP = 10.0


class Heard:
    """What is heard of one guest, at a time that goes on by itself."""

    def __init__(self) -> None:
        self.clones = Clones()
        self.now = 0.0

    def attaches(self, boot: str, daemon: str = "", address: str = "", lives: bool = True) -> str:
        """A program attaches, a while later. lives: whether another session is there."""
        self.now += STEP
        return self.clones.attaches("g", Life(boot, daemon, address), self.now, lives)

    def speaks(self, boot: str, lives: bool = True, after: float = STEP) -> str:
        """A program says something."""
        self.now += after
        return self.clones.speaks("g", boot, self.now, lives)


def test_copies_that_were_started_are_seen_by_their_boot_ids() -> None:
    """Each takes the other's place, and comes back."""
    heard = Heard()
    assert heard.attaches("A", "a", lives=False) == ""
    assert heard.attaches("B", "b") == ""
    assert heard.attaches("A", "a") == ""
    assert "boot id" in heard.attaches("B", "b")


def test_copies_that_are_both_attached_are_seen_by_what_they_say() -> None:
    """Their heartbeats come by turns."""
    heard = Heard()
    heard.attaches("A", lives=False)
    heard.attaches("B")
    assert [bool(heard.speaks(boot)) for boot in "ABAB"] == [False, True, True, True]


def test_copies_with_one_boot_id_are_seen_by_their_daemons() -> None:
    """Of a machine that was copied as it ran, whose daemons were started anew since."""
    heard = Heard()
    assert [bool(heard.attaches("A", name)) for name in "xyxy"] == [False, False, False, True]


def test_copies_of_a_running_daemon_are_seen_by_their_addresses() -> None:
    """After more turns: a machine may have two."""
    heard = Heard()
    turns = [bool(heard.attaches("A", "x", f"10.0.0.{number % 2}")) for number in range(ADDRESS_RETURNS + 2)]
    assert turns == [False] * (ADDRESS_RETURNS + 1) + [True]


def test_a_machine_that_starts_again_and_again_is_one() -> None:
    """With another boot id and another daemon, though nobody has noticed that the one before is gone."""
    heard = Heard()
    for number in range(50):
        assert heard.attaches(f"boot {number}", f"daemon {number}") == ""
        assert heard.speaks(f"boot {number}") == ""


def test_a_daemon_that_starts_again_and_again_is_one() -> None:
    """Beside other programs of the same machine, which speak by turns with it."""
    heard = Heard()
    for number in range(50):
        assert heard.attaches("A", f"daemon {number}") == ""
        assert heard.attaches("A") == ""
        assert heard.speaks("A") == ""


def test_a_network_that_fails_is_no_second_machine() -> None:
    """The daemon comes back under its own name from its own address, as often as it likes."""
    heard = Heard()
    assert not any(heard.attaches("A", "x", "10.0.0.1") for _ in range(50))


def test_a_snapshot_that_is_restored_is_no_second_machine() -> None:
    """It comes back to an earlier life once; then it is that one."""
    heard = Heard()
    heard.attaches("A", "a", lives=False)
    heard.attaches("B", "b")
    assert heard.attaches("A", "a") == ""
    for _ in range(20):
        assert heard.speaks("A") == ""
        assert heard.attaches("A", "a") == ""


def test_who_is_gone_is_no_second_machine() -> None:
    """A life that comes back when the other is not there any more, however often."""
    heard = Heard()
    assert not any(heard.attaches(boot, boot, lives=False) for boot in "ABABABAB")


def test_what_was_on_its_way_is_no_second_machine() -> None:
    """The last words of the life before come in just after the first of the next."""
    heard = Heard()
    heard.attaches("A", lives=False)
    for boot in ("B", "C", "D"):
        before = "ABC"["BCD".index(boot)]
        heard.attaches(boot)
        assert heard.speaks(before, after=SETTLING_SECONDS / 2) == ""
        assert heard.speaks(boot, after=0.1) == ""


def test_turns_that_lie_long_ago_do_not_count() -> None:
    """A snapshot that is restored now and then."""
    heard = Heard()
    for boot in "ABABABAB":
        assert heard.attaches(boot) == ""
        heard.now += WITHIN_SECONDS


def test_guests_do_not_count_for_each_other() -> None:
    """And one that enrolled anew begins anew."""
    heard = Heard()
    for boot in "ABA":
        heard.attaches(boot)
    assert heard.clones.speaks("other", "B", heard.now, True) == ""
    heard.clones.forget("g")
    assert heard.attaches("B") == ""


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a guest that draws boot ids without end, and of guests."""
    heard = Heard()
    for number in range(1000):
        heard.attaches(f"{number}", f"{number}")
    turns = heard.clones._guests["g"].boots
    assert len(turns._heard) == REMEMBERED
    monkeypatch.setattr(module, "MAX_GUESTS", 3)
    for number in range(10):
        heard.clones.speaks(f"guest {number}", "A", 0.0, False)
    assert len(heard.clones) == 3
