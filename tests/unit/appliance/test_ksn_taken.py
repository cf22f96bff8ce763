"""Tests of appliance/ksn_taken.py, over parts that are put together from settings."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import KsnSettings, StatisticsSettings
from appliance.ksn.reputation import Call
from appliance.ksn_assembly import KsnParts
from appliance.ksn_taken import notices, taken
from appliance.state.environment import StateEnvironment
from tests.unit.appliance.ksn.test_participation import policy
from tests.unit.appliance.test_ksn_assembly import PRIVATE, parts


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[StateEnvironment]:
    """An empty state."""
    environment = StateEnvironment.open(tmp_path)
    yield environment
    environment.close()


def said(made: KsnParts) -> dict[str, str]:
    """What is not sent, by call."""
    return {notice.call.value: notice.said for notice in notices(made)}


def test_of_a_service_that_takes_all_nothing_is_said(environment: StateEnvironment) -> None:
    """Nor where KSN is not enabled, and nothing is taken."""
    made = parts(environment, replace(PRIVATE, mode_limit="extended"))
    assert (taken(made), said(made)) == (tuple(Call), {})
    off = parts(environment, KsnSettings())
    assert (taken(off), said(off)) == ((), {})


def test_what_the_vendors_service_does_not_take_is_said(environment: StateEnvironment) -> None:
    """What the provider wants sent to nobody is not missed."""
    settings = KsnSettings(enabled=True)
    made = parts(environment, settings)
    assert taken(made) == (Call.HASH, Call.URL, Call.DOMAIN, Call.IP, Call.SUBMIT, Call.RESULT)
    assert said(made).keys() == {"statistics", "changes"}
    quiet = parts(environment, replace(settings, statistics=StatisticsSettings(enabled=False)))
    assert said(quiet).keys() == {"changes"}


def test_what_a_driver_cannot_ask_or_hand_over_is_said(environment: StateEnvironment) -> None:
    """Contents are missed only where the provider allows extended mode."""
    made = parts(environment, replace(PRIVATE, mode_limit="extended"))
    less = replace(made, capabilities=frozenset({Call.HASH, Call.CHANGES, Call.STATISTICS}), submitter=None)
    assert taken(less) == (Call.HASH, Call.STATISTICS, Call.CHANGES)
    assert said(less).keys() == {"url", "domain", "ip", "submit"}
    assert "does not answer about url" in said(less)["url"]
    standard = replace(parts(environment, PRIVATE), submitter=None)
    assert said(standard) == {}


def test_what_is_in_the_way_now_is_said(environment: StateEnvironment) -> None:
    """Of contents, statistics and changes; a service that only fails takes them all the same."""
    made = parts(environment, replace(PRIVATE, mode_limit="extended"))
    made.participants.put(policy())
    assert made.submitter is not None
    assert made.statistics is not None
    assert made.feed is not None
    made.submitter.trouble = "it has no room"
    made.statistics.obstacle.is_now("it is left alone")
    made.feed.obstacle.is_now("nobody is there")
    assert said(made) == {
        "submit": "it has no room",
        "statistics": "it is left alone",
        "changes": "they are not followed: nobody is there",
    }
    assert taken(made) == tuple(Call)
    made.statistics.offered = made.feed.offered = False
    assert taken(made) == tuple(call for call in Call if call not in {Call.STATISTICS, Call.CHANGES})
    assert "does not take usage statistics" in said(made)["statistics"]


def test_where_nobody_takes_part_nobody_follows_changes(environment: StateEnvironment) -> None:
    """What was in the way before is of no interest then."""
    made = parts(environment, PRIVATE)
    assert made.feed is not None
    made.feed.obstacle.is_now("nobody is there")
    assert said(made) == {}
