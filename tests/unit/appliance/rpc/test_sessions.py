"""The guests that are attached now."""

import asyncio
from contextlib import ExitStack

import pytest

from appliance.domain.guest import Guest
from appliance.rpc.sessions import MOST_SESSIONS, Labels, Sessions, TooManyGuests


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


def test_programs_of_one_guest_are_attached_side_by_side() -> None:
    """Each has its calls and its news; what they ask counts together, and they are one guest."""
    sessions, here = Sessions(1, lambda: 7.0), []
    sessions.on_attach.append(lambda session: here.append(session.name))
    sessions.on_detach.append(lambda session: here.append(f"{session.name} went"))
    scan = sessions.attach(Guest("a"), Labels(), "1")
    daemon = sessions.attach(Guest("a"), Labels(), "2", is_daemon=True)
    assert (sessions.of(Guest("a"), "1"), sessions.of(Guest("a"), "2")) == (scan, daemon)
    assert sessions.of(Guest("a")) is None
    assert scan.share is daemon.share
    assert sessions.by_guest() == [[daemon, scan]]
    sessions.tell_revoked(b"d" * 32)
    assert scan.revoked == daemon.revoked == {b"d" * 32}
    sessions.detach(scan)
    assert sessions.all() == [daemon]
    sessions.detach(daemon)
    assert here == ["1", "2 went"]


def test_a_guest_has_one_daemon() -> None:
    """Another takes the place of the one before, whatever it calls itself; other programs stay."""
    sessions = Sessions(1, lambda: 7.0)
    scan = sessions.attach(Guest("a"), Labels(), "1")
    first = sessions.attach(Guest("a"), Labels(), "2", is_daemon=True)
    second = sessions.attach(Guest("a"), Labels(), "3", is_daemon=True)
    assert first.replaced
    assert not scan.replaced
    assert sessions.all() == [scan, second]


def test_a_guest_has_no_more_sessions_than_it_may() -> None:
    """One more is refused, and none of the others goes; one of the same name takes its place."""
    sessions = Sessions(1, lambda: 7.0)
    for number in range(MOST_SESSIONS):
        sessions.attach(Guest("a"), Labels(), str(number))
    with pytest.raises(TooManyGuests, match="8 programs"):
        sessions.attach(Guest("a"), Labels(), "one more")
    sessions.attach(Guest("a"), Labels(), "3")
    assert len(sessions.all()) == MOST_SESSIONS


def test_hellos_that_stay_out_are_few() -> None:
    """A guest that opens Attaches and says nothing is refused at the ninth; others are not."""
    sessions = Sessions(9, lambda: 7.0)
    with ExitStack() as stack:
        for number in range(MOST_SESSIONS):
            stack.enter_context(sessions.greets(Guest("a"), str(number)))
        with pytest.raises(TooManyGuests, match="have not said Hello"):
            stack.enter_context(sessions.greets(Guest("a"), "one more"))
        with pytest.raises(TooManyGuests, match="this session"):
            stack.enter_context(sessions.greets(Guest("a"), "3"))
        stack.enter_context(sessions.greets(Guest("b"), "3"))
    assert not sessions.greeting


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


def test_a_guest_that_is_slowed_is_counted_and_told_now_and_then() -> None:
    """Every message counts; a line comes once a minute for each guest, and it is no breach."""
    now = [100.0]
    sessions = Sessions(2, lambda: now[0])
    told: list[tuple[str, str]] = []
    sessions.on_breach.append(lambda guest, kind, _why: told.append((guest.id, kind)))
    one, other = (sessions.attach(Guest(name), Labels()) for name in "ab")
    for session in (one, one, one, other):
        sessions.slowed(session)
    assert told == [("a", "slowed"), ("b", "slowed")]
    now[0] += 60
    sessions.slowed(one)
    assert told[2:] == [("a", "slowed")]
    assert sessions.counts["slowed"] == 5
    assert sessions.counts["breaches"] == 0


async def test_what_runs_under_a_ticket_ends_with_it() -> None:
    """The caller's own, and only that."""
    sessions = Sessions(2, lambda: 7.0)

    async def attached() -> None:
        async with asyncio.timeout(None) as patience:
            with sessions.vouched(Guest("a"), patience):
                sessions.ticket_ended("a")
                await asyncio.Event().wait()

    async with asyncio.timeout(None) as other:
        with sessions.vouched(Guest("b"), other):
            with pytest.raises(TimeoutError):
                await attached()
            sessions.ticket_ended("nobody")
    assert not other.expired()
