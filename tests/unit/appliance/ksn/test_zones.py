"""What a zone means, and for how long."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.outcome import Disposition
from appliance.ksn.zones import RULINGS, Zone, keep_seconds, severity, zone_named, zone_of_status
from tests.support.properties import patient

DOCUMENT = Path(__file__).parents[4] / "docs" / "ksn.md"


def test_the_document_has_the_table_that_counts() -> None:
    """docs/ksn.md names every zone with the disposition and the time that the program uses."""
    rows = re.findall(r"^\| (\w[\w ]*) \| `?(\w+)`? \| ([\d.]+) h \|", DOCUMENT.read_text(), re.MULTILINE)
    documented = {zone: (what, float(hours)) for zone, what, hours in rows}
    assert documented == {
        zone.value: (ruling.disposition.name if ruling.disposition else "unknown", ruling.ttl_seconds / 3600)
        for zone, ruling in RULINGS.items()
    }


def test_every_zone_has_a_ruling_and_only_green_vouches() -> None:
    """No zone is forgotten, and nothing but Green becomes CLEAN."""
    assert set(RULINGS) == set(Zone)
    assert [zone for zone in Zone if RULINGS[zone].disposition is Disposition.CLEAN] == [Zone.GREEN]


def test_what_decides_nothing_is_asked_for_again_soon() -> None:
    """Grey and not found are kept for less time than any zone that decides."""
    undecided = [ruling.ttl_seconds for ruling in RULINGS.values() if ruling.disposition is None]
    decided = [ruling.ttl_seconds for ruling in RULINGS.values() if ruling.disposition is not None]
    assert max(undecided) * 4 < min(decided)


@pytest.mark.parametrize(
    ("text", "zone"),
    [("Red", Zone.RED), ("GREEN", Zone.GREEN), (" grey ", Zone.GREY), ("Purple", None), ("not found", None)],
)
def test_zones_are_read_in_any_case(text: str, zone: Zone | None) -> None:
    """A colour nobody told us of is none, and a service cannot say `not found` as a colour."""
    assert zone_named(text) is zone


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("Malware", Zone.RED),
        ("Adware and other", Zone.YELLOW),
        ("Clean", Zone.GREEN),
        ("NoThreats", Zone.GREY),
        ("No threats", Zone.GREY),
        ("Not categorized", Zone.GREY),
        ("NotCategorized", Zone.GREY),
        ("Excellent", None),
    ],
)
def test_statuses_are_read_in_both_spellings(text: str, zone: Zone | None) -> None:
    """With spaces and without, as the documents of the service have them."""
    assert zone_of_status(text) is zone


def test_severity_orders_from_red_to_green() -> None:
    """Red is the worst of all, Green the best of what a service says."""
    colours = [zone for zone in Zone if zone is not Zone.NOT_FOUND]
    assert min(colours, key=severity) is Zone.RED
    assert max(colours, key=severity) is Zone.GREEN


@given(st.sampled_from(list(Zone)), st.floats(0, 1, exclude_max=True))
@patient
def test_jitter_stays_within_a_tenth(zone: Zone, chance: float) -> None:
    """However the dice fall, the time is the table's within ten per cent."""
    table = RULINGS[zone].ttl_seconds
    assert 0.9 * table - 1 <= keep_seconds(zone, lambda: chance) <= 1.1 * table + 1


def test_two_answers_of_one_moment_expire_apart() -> None:
    """The random source decides when."""
    assert keep_seconds(Zone.RED, lambda: 0.0) < keep_seconds(Zone.RED, lambda: 0.9)
