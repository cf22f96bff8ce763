"""The guests that are attached now."""

import pytest

from appliance.domain.guest import Guest
from appliance.rpc.sessions import Labels, Sessions, TooManyGuests


def test_a_guest_has_one_session() -> None:
    """Attaching anew replaces the session, also when all places are taken."""
    sessions = Sessions(1, lambda: 7.0)
    first = sessions.attach(Guest("a"), Labels())
    second = sessions.attach(Guest("a"), Labels())
    assert first.replaced
    assert sessions.all() == [second]
    with pytest.raises(TooManyGuests, match=r"limits\.max_guests"):
        sessions.attach(Guest("b"), Labels())


def test_an_old_session_does_not_take_the_new_one_with_it() -> None:
    """Detaching a replaced session leaves its successor."""
    sessions = Sessions(2, lambda: 7.0)
    first = sessions.attach(Guest("a"), Labels())
    second = sessions.attach(Guest("a"), Labels())
    sessions.detach(first)
    assert sessions.of(Guest("a")) is second
    sessions.detach(second)
    assert sessions.of(Guest("a")) is None


def test_news_reach_every_session() -> None:
    """A revocation and a new generation wait at each guest's stream."""
    sessions = Sessions(2, lambda: 7.0)
    both = [sessions.attach(Guest(name), Labels()) for name in "ab"]
    sessions.tell_revoked(b"d" * 32)
    sessions.tell_generation()
    assert all(session.revoked == {b"d" * 32} and session.generation_moved for session in both)
    assert all(session.news.is_set() for session in both)


def test_breaches_are_counted_and_told() -> None:
    """An operator gets a counter and a line for each."""
    sessions = Sessions(2, lambda: 7.0)
    told: list[tuple[str, str, str]] = []
    sessions.on_breach.append(lambda guest, kind, why: told.append((guest.id, kind, why)))
    sessions.breach(Guest("a"), "breach", "why")
    assert told == [("a", "breach", "why")]
    assert sessions.counts["breaches"] == 1
