"""Which of several words on one thing counts."""

from appliance.private_ksn.reputation import ZONES, Reputation, Zone, strongest


def test_the_worst_zone_counts() -> None:
    """Red wins over green, whichever feed comes first; green, which vouches, over grey."""
    red, green, grey = Reputation(Zone.RED, "Evil"), Reputation(Zone.GREEN), Reputation(Zone.GREY)
    assert strongest([green, red, grey]) == red
    assert strongest([grey, green]) == green
    assert strongest([]) is None


def test_a_detection_still_says_what_program_it_is() -> None:
    """Category, name and the earliest time come from those that have them; the threat does not."""
    red = Reputation(Zone.RED, "Evil", first_seen=20, source="a")
    known = Reputation(Zone.GREY, "", "Browser", "Firefox", 10, "b")
    assert strongest([known, red]) == Reputation(Zone.RED, "Evil", "Browser", "Firefox", 10, "a")


def test_zones_are_spelt_as_in_answers() -> None:
    """Red in an answer, red on the command line."""
    assert [zone.word for zone in Zone] == ["Grey", "Green", "Yellow", "Orange", "Red"]
    assert ZONES["orange"] is Zone.ORANGE
