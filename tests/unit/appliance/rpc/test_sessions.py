"""The guests that are attached now."""

import asyncio

import pytest

from appliance.config_limits import Limits, TenantLimits
from appliance.domain.guest import Guest
from appliance.rpc.sessions import MANY_OTHERS, Labels, Session, Sessions, TooManyGuests
from appliance.rpc.share import REMEMBERED_SECONDS, Pace
from tests.support.svm import until

MOST_SESSIONS = Limits().sessions


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


async def test_hellos_that_stay_out_keep_nobody_out() -> None:
    """The ninth Attach of a guest that says nothing is let in, and its oldest ends; no other guest's."""
    sessions = Sessions(9, lambda: 7.0)
    ended: list[str] = []

    async def stay_out(guest: str, name: str) -> None:
        try:
            async with sessions.greets(Guest(guest), name):
                await asyncio.Event().wait()
        except TooManyGuests as error:
            ended.append(f"{guest} {name}: {error}")

    async with asyncio.TaskGroup() as group:
        silent = [group.create_task(stay_out("a", str(number))) for number in range(MOST_SESSIONS)]
        silent.append(group.create_task(stay_out("b", "3")))
        await until(lambda: len(sessions.greeting) == MOST_SESSIONS + 1, "all have called")
        async with sessions.greets(Guest("a"), "one more"):
            await silent[0]
            assert len(sessions.greeting) == MOST_SESSIONS + 1
            with pytest.raises(TooManyGuests, match="this session"):
                async with sessions.greets(Guest("a"), "one more"):
                    pass
        for task in silent:
            task.cancel()
    (sentence,) = ended
    assert sentence.startswith("a 0: 8 later Attaches")
    assert not sessions.greeting


def test_a_daemon_finds_a_place() -> None:
    """Where all places of its guest are taken the oldest session makes way, and the guest stays attached."""
    sessions, here = Sessions(1, lambda: 7.0), []
    sessions.on_attach.append(lambda _session: here.append("came"))
    sessions.on_detach.append(lambda _session: here.append("went"))
    others = [sessions.attach(Guest("a"), Labels(), str(number)) for number in range(MOST_SESSIONS)]
    daemon = sessions.attach(Guest("a"), Labels(), "daemon", is_daemon=True)
    assert [session.replaced for session in others] == [True] + [False] * (MOST_SESSIONS - 1)
    assert sessions.all() == [*others[1:], daemon]
    with pytest.raises(TooManyGuests, match="8 programs"):
        sessions.attach(Guest("a"), Labels(), "0")
    assert here == ["came"]


def test_a_guest_that_attaches_anew_has_not_come_anew() -> None:
    """The share of its only session passes to the next, and nobody is told that it came or went."""
    sessions, here = Sessions(1, lambda: 7.0), []
    sessions.on_attach.append(lambda _session: here.append("came"))
    sessions.on_detach.append(lambda _session: here.append("went"))
    first = sessions.attach(Guest("a"), Labels())
    second = sessions.attach(Guest("a"), Labels())
    assert second.share is first.share
    sessions.detach(first)
    assert here == ["came"]
    sessions.detach(second)
    assert here == ["came", "went"]


def test_a_guest_that_comes_back_at_once_finds_its_share() -> None:
    """So what it owes for having sent too fast is not forgotten; another guest has its own."""
    now = [7.0]
    sessions = Sessions(2, lambda: now[0])
    first = sessions.attach(Guest("a"), Labels(), "1")
    sessions.detach(first)
    back = sessions.attach(Guest("a"), Labels(), "2")
    assert back.share is first.share
    assert sessions.attach(Guest("b"), Labels()).share is not first.share
    sessions.detach(back)
    now[0] += REMEMBERED_SECONDS
    assert sessions.attach(Guest("a"), Labels()).share is not first.share


async def test_only_what_is_beside_a_daemon_stands_back() -> None:
    """Other programs have the whole pace while there is no daemon, and half of it beside one."""
    sessions, now = Sessions(1, lambda: 7.0), [100.0]
    scan = sessions.attach(Guest("a"), Labels(), "1")

    async def passed_of(session: Session, pace: Pace) -> int:
        """How many messages pass before one waits."""
        slowed = sessions.counts["slowed"]
        for number in range(100):
            task = asyncio.get_running_loop().create_task(sessions.paced(session, pace, 1, "limits.x"))
            await asyncio.sleep(0)
            if sessions.counts["slowed"] > slowed:
                task.cancel()
                return number
            await task
        raise AssertionError

    def pace() -> Pace:
        made = Pace(20, lambda: now[0])
        now[0] += 5
        return made

    assert await passed_of(scan, pace()) == 20
    daemon = sessions.attach(Guest("a"), Labels(), "2", is_daemon=True)
    shared = pace()
    assert await passed_of(scan, shared) == 10
    assert await passed_of(daemon, shared) == 10
    assert await passed_of(daemon, pace()) == 20


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
    """Every message counts; a line with the bound comes once a minute for each; it is no breach."""
    now = [100.0]
    sessions = Sessions(2, lambda: now[0])
    told: list[tuple[str, str]] = []
    sentences: list[str] = []

    def listen(guest: Guest, kind: str, why: str) -> None:
        told.append((guest.id, kind))
        sentences.append(why)

    sessions.on_breach.append(listen)
    one, other = (sessions.attach(Guest(name), Labels()) for name in "ab")
    for session in (one, one, one, other):
        sessions.slowed(session, "limits.x")
    assert told == [("a", "slowed"), ("b", "slowed")]
    now[0] += 60
    sessions.slowed(one, "limits.x")
    sessions.slowed(one, "limits.y")
    assert told[2:] == [("a", "slowed")] * 2
    assert [sentence.split(":")[0] for sentence in sentences[2:]] == [
        "it sends more than limits.x",
        "it sends more than limits.y",
    ]
    assert sessions.counts["slowed"] == 6
    assert sessions.counts["breaches"] == 0


def test_a_tenant_has_no_more_guests_than_it_may() -> None:
    """One more is refused and counted; another tenant's comes in, and so does one whose place came free."""
    sessions = Sessions(9, lambda: 7.0, Limits(tenant=TenantLimits(guests=2)))
    first, _ = (sessions.attach(Guest(name), Labels()) for name in "ab")
    with pytest.raises(TooManyGuests, match=r"limits\.tenant\.guests") as refused:
        sessions.attach(Guest("c"), Labels())
    assert refused.value.bound == "limits.tenant.guests"
    sessions.attach(Guest("a"), Labels(), "another program")
    sessions.attach(Guest("d", 17), Labels())
    sessions.detach(sessions.attach(Guest("a"), Labels(), "another program"))
    sessions.detach(first)
    sessions.attach(Guest("c"), Labels())


async def passes(sessions: Sessions, session: Session, setting: str, cost: float) -> bool:
    """Whether what a session sends is worked on at once; it is given up where not."""
    slowed = sessions.counts["slowed"]
    task = asyncio.get_running_loop().create_task(sessions.keep_pace(session, setting, cost))
    await asyncio.sleep(0)
    waits = sessions.counts["slowed"] > slowed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return not waits


@pytest.mark.parametrize("setting", ["digests_per_second", "upload_mib_per_second"])
async def test_who_is_alone_has_no_pace(setting: str) -> None:
    """Beside another guest it has that of the settings, and counters say who was over which."""
    sessions = Sessions(9, lambda: 7.0)
    one, other = (sessions.attach(Guest(name), Labels()) for name in "ab")
    sessions.company.note(one.guest.owner)
    assert [await passes(sessions, one, setting, 1e6) for _ in range(3)] == [True] * 3
    sessions.company.note(other.guest.owner)
    assert not await passes(sessions, one, setting, 1e6)
    assert await passes(sessions, other, setting, 1)
    assert sessions.overs[f"guest_over_{setting}"] == 1
    assert sessions.overs[f"tenant_over_{setting}"] == 0


async def test_a_tenant_has_a_pace_beside_another() -> None:
    """All its guests together, of whom each keeps its own; the other tenant does not notice."""
    limits = Limits(digests_per_second=1000, tenant=TenantLimits(digests_per_second=1500))
    sessions = Sessions(9, lambda: 7.0, limits)
    loud = [sessions.attach(Guest(name), Labels()) for name in "abcd"]
    quiet = sessions.attach(Guest("q", 17), Labels())
    for session in (*loud, quiet):
        sessions.company.note(session.guest.owner)
    assert [await passes(sessions, each, "digests_per_second", 990) for each in loud] == [
        True,
        True,
        False,
        False,
    ]
    assert await passes(sessions, quiet, "digests_per_second", 990)
    assert sessions.overs["tenant_over_digests_per_second"] == 2


async def test_a_guest_has_more_beside_fewer() -> None:
    """Ten times the pace of the settings beside one other, and that itself beside ten."""
    sessions = Sessions(99, lambda: 7.0, Limits(digests_per_second=1000))
    one, *others = (sessions.attach(Guest(str(number)), Labels()) for number in range(MANY_OTHERS + 2))
    sessions.company.note(others[0].guest.owner)
    assert [await passes(sessions, one, "digests_per_second", cost) for cost in (9900, 990)] == [True, False]
    for other in others:
        sessions.company.note(other.guest.owner)
    assert [await passes(sessions, others[0], "digests_per_second", cost) for cost in (990, 99)] == [
        True,
        False,
    ]
