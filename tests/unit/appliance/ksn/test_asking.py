"""Asking without being in the way, against a local server that goes wrong as it is told to."""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from appliance.domain.policy import KsnType, Mode
from appliance.ksn.asker import Asker, Disclosure, Standing, Unknown
from appliance.ksn.asking import Asking, Outcome
from appliance.ksn.breaker import Breaker, BreakerTerms, State
from appliance.ksn.opentip import Endpoint, OpenTip
from appliance.ksn.quota import AskingTerms, Quota, QuotaTerms
from appliance.ksn.reputation import Answer, Call, Changes, Part, Request, Subject, Trouble
from appliance.ksn.statement import changes_since, disclosed, statistics, submission
from appliance.ksn.zones import Zone
from tests.support import misbehaving_ksn as ksn
from tests.support.certificates import self_signed
from tests.support.misbehaving_ksn import MisbehavingKsn
from tests.support.scanning import until

ASKER = Asker(16, "default", "guest", KsnType.PRIVATE, Mode.STANDARD, 1)
OTHER = replace(ASKER, scope=17, tenant="another", guest="other")
HOUSE = replace(ASKER, standing=Standing.HOUSE)
SUBJECT = Subject(Call.HASH, "ab" * 32)
CHANGES = changes_since(0, 1, Mode.STANDARD)
PART = Part(bytes(32), 0, b"content")
PATIENCE = 60.0  # a budget within which everything answers that answers at all
SLOW = 30.0  # seconds until an answer is slow, so that a busy machine is none of these tests' business


def made_up(name: str) -> Subject:
    """A subject like no other."""
    return Subject(Call.HASH, hashlib.sha256(name.encode()).hexdigest())


@dataclass
class Bench:
    """A stand-in, what asks it, and its ledger.

    told: what that was told before; ended: the number and the result of what it was told after; fails:
    whether it fails.
    """

    service: MisbehavingKsn = field(default_factory=MisbehavingKsn)
    told: list[Disclosure] = field(default_factory=list)
    ended: list[tuple[int, str]] = field(default_factory=list)
    fails: bool = False

    async def start(self, quota: QuotaTerms | None = None, terms: AskingTerms | None = None) -> None:
        """Listen, and be ready to ask."""
        await self.service.start()
        self.breaker = Breaker(BreakerTerms(in_a_row=1, slow_seconds=SLOW), time.monotonic)
        self.quota = Quota(quota or QuotaTerms(0, 0), time.monotonic)
        driver = OpenTip("stand-in", Endpoint(self.service.base_url, "key"))
        terms = terms or AskingTerms(longest_seconds=SLOW)
        self.asking = Asking(driver, self.breaker, self.quota, self, terms)

    async def restart(self, quota: QuotaTerms | None = None, terms: AskingTerms | None = None) -> None:
        """Ask on other terms."""
        await self.stop()
        self.service = MisbehavingKsn(self.service.act)
        await self.start(quota, terms)

    async def stop(self) -> None:
        """Close both."""
        await self.asking.close()
        await self.service.stop()

    async def before(self, disclosure: Disclosure) -> int:
        """Stands where the ledger does."""
        self.told.append(disclosure)
        if self.fails:
            raise OSError("the disk is full")
        return len(self.told)

    def after(self, number: int, result: str) -> None:
        """Note the result."""
        self.ended.append((number, result))

    async def ask(
        self, asker: Asker = ASKER, subject: Subject = SUBJECT, budget: float = PATIENCE
    ) -> Outcome:
        """Ask."""
        return await self.asking.ask(asker, subject, budget)

    async def why(
        self, asker: Asker = ASKER, subject: Subject = SUBJECT, budget: float = PATIENCE
    ) -> Trouble:
        """Ask, and return why there is no answer."""
        outcome = await self.ask(asker, subject, budget)
        assert isinstance(outcome, Unknown)
        assert len(outcome.reason) > 10
        return outcome.why


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Ready to ask; whatever happened, nothing is left under way."""
    made = Bench()
    await made.start()
    yield made
    await made.stop()
    assert made.asking.under_way == 0


def answers_after(proceed: asyncio.Event) -> ksn.Fault:
    """A service that answers no sooner than the test wants."""

    async def act(connection: ksn.Connection) -> None:
        await proceed.wait()
        await ksn.answers()(connection)

    return act


async def test_an_answer_comes_through_and_the_ledger_was_told_before(bench: Bench) -> None:
    """The ledger sees the very fields that the service receives, before it receives them."""
    order = []

    async def note(connection: ksn.Connection) -> None:
        order.append(len(bench.told))
        await ksn.answers()(connection)

    bench.service.act = note
    assert await bench.ask() == Answer(Zone.RED, "EICAR-Test-File", hits=1000)
    assert order == [1]
    (told,) = bench.told
    assert (told.service, told.asker, disclosed(told.request)) == ("stand-in", ASKER, {"digest": "ab" * 32})
    assert bench.ended == [(1, "Red")]


FAULTS: dict[str, tuple[ksn.Fault, Trouble, State]] = {
    "400": (ksn.says(b"", 400), Trouble.BAD_QUERY, State.CLOSED),
    "401": (ksn.says(b"", 401), Trouble.REFUSED, State.OPEN),
    "403": (ksn.says(b"", 403), Trouble.QUOTA, State.CLOSED),
    "413": (ksn.says(b"", 413), Trouble.TOO_LARGE, State.CLOSED),
    "429": (ksn.says(b"", 429), Trouble.QUOTA, State.CLOSED),
    "503": (ksn.says(b"", 503), Trouble.UNREACHABLE, State.OPEN),
    "a redirect": (ksn.says(b"", 302, Location="/x"), Trouble.MALFORMED, State.OPEN),
    "truncated JSON": (ksn.says(b'{"Zone":"R'), Trouble.MALFORMED, State.OPEN),
    "another type": (ksn.says(b"{}", content_type="text/html"), Trouble.MALFORMED, State.OPEN),
    "breaking off": (ksn.breaks_off, Trouble.MALFORMED, State.OPEN),
    "nonsense": (ksn.talks_nonsense, Trouble.MALFORMED, State.OPEN),
    "an endless body": (ksn.never_ends, Trouble.MALFORMED, State.OPEN),
    "hanging up": (ksn.hangs_up, Trouble.UNREACHABLE, State.OPEN),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_a_reason_and_not_an_error(bench: Bench, fault: str) -> None:
    """The caller gets a reason, the ledger is told before and after, the breaker learns what it may."""
    bench.service.act, trouble, state = FAULTS[fault]
    assert await bench.why() is trouble
    assert bench.breaker.state is state
    assert (len(bench.told), len(bench.service.received)) == (1, 1)
    assert bench.ended == [(1, trouble.value)]


async def test_a_bad_certificate_is_a_service_that_is_not_there(bench: Bench, tmp_path: Path) -> None:
    """The ledger was told, no request arrives, the breaker opens."""
    impostor = MisbehavingKsn()
    await impostor.start(self_signed(tmp_path, "impostor").server())
    driver = OpenTip("stand-in", Endpoint(impostor.base_url, "key"))
    terms = AskingTerms(longest_seconds=SLOW)
    asking = Asking(driver, bench.breaker, bench.quota, bench, terms)
    outcome = await asking.ask(ASKER, SUBJECT, PATIENCE)
    await asking.close()
    await impostor.stop()
    assert isinstance(outcome, Unknown)
    assert (outcome.why, bench.breaker.state) == (Trouble.UNREACHABLE, State.OPEN)
    assert (len(bench.told), impostor.received) == (1, [])


@pytest.mark.parametrize("act", [ksn.hangs, ksn.drips], ids=["hangs", "drips"])
async def test_a_slow_service_costs_a_slice_and_then_nothing(bench: Bench, act: ksn.Fault) -> None:
    """The caller goes on when its slice is over; when the request's own time is over, the breaker opens."""
    await bench.restart(terms=AskingTerms(longest_seconds=0.3))
    bench.service.act = act
    assert await bench.why(budget=0.2) is Trouble.TIMED_OUT
    assert bench.breaker.state is State.CLOSED
    await until(lambda: bench.breaker.state is State.OPEN, "the breaker opens")
    await until(lambda: not bench.asking.under_way, "who asks now does not join the request that failed")
    assert await bench.why() is Trouble.PAUSED
    assert len(bench.service.received) == len(bench.told) == 1


@pytest.mark.parametrize(
    ("document", "zone"),
    [({}, Zone.GREY), ({"FileGeneralInfo": {"FileStatus": "Clean", "HitsCount": "10"}}, Zone.GREEN)],
)
async def test_odd_answers_are_answers(bench: Bench, document: object, zone: Zone) -> None:
    """Sections that are missing, strings for numbers: the service serves, if not by the book."""
    bench.service.act = ksn.answers(document)
    outcome = await bench.ask()
    assert isinstance(outcome, Answer)
    assert (outcome.zone, bench.breaker.state) == (zone, State.CLOSED)


async def test_not_found_is_an_answer(bench: Bench) -> None:
    """It may be kept, and the breaker stays closed."""
    bench.service.act = ksn.says(b"", 404)
    assert await bench.ask() == Answer(Zone.NOT_FOUND)
    assert bench.ended == [(1, "not found")]
    assert bench.breaker.state is State.CLOSED


async def test_a_dead_service_is_asked_once(bench: Bench) -> None:
    """From then on it is left alone, and the ledger hears of nothing."""
    await bench.service.stop()
    assert await bench.why() is Trouble.UNREACHABLE
    assert await bench.why() is Trouble.PAUSED
    assert len(bench.told) == 1


async def test_a_spent_quota_in_the_middle_pauses_everybody(bench: Bench) -> None:
    """After the 403 nothing goes out for a while, for no guest; the breaker has nothing to do with it."""
    assert isinstance(await bench.ask(), Answer)
    bench.service.act = ksn.says(b"", 403)
    assert await bench.why() is Trouble.QUOTA
    bench.service.act = ksn.answers()
    assert await bench.why(OTHER) is Trouble.QUOTA
    assert len(bench.service.received) == len(bench.told) == 2
    assert bench.breaker.state is State.CLOSED


@pytest.mark.parametrize("status", [403, 404, 429, 507])
async def test_what_is_handed_over_is_turned_away_by_itself(bench: Bench, status: int) -> None:
    """The service takes no contents, or has no room: none is sent for a while, and questions go on."""
    extended, request = replace(ASKER, mode=Mode.EXTENDED), submission(PART, Mode.EXTENDED)
    bench.service.act = ksn.says(b"", status)
    first = await bench.asking.send(extended, request, PATIENCE)
    bench.service.act = ksn.answers()
    second = await bench.asking.send(extended, request, PATIENCE)
    assert first is not None
    assert first.why is (Trouble.NOT_OFFERED if status == 404 else Trouble.QUOTA)
    assert second is not None
    assert (second.why, "turns submit away for now" in second.reason) == (Trouble.QUOTA, True)
    assert len(bench.service.received) == 1
    assert isinstance(await bench.ask(), Answer)
    assert bench.asking.trouble() is None
    trouble = bench.asking.trouble(extended, Call.SUBMIT)
    assert trouble is not None
    assert "it is tried again in 60 s" in trouble.reason
    assert bench.breaker.state is State.CLOSED


async def test_a_change_poll_that_is_turned_away_is_in_nobodys_way(bench: Bench) -> None:
    """Too many wait at the service: questions go on, and the feed decides when it asks again."""
    endpoint = Endpoint(bench.service.base_url, "key", ours=True)
    asking = Asking(OpenTip("stand-in", endpoint), bench.breaker, bench.quota, bench, AskingTerms())
    bench.service.changes = 403
    for _ in range(2):
        said = await asking.watch(HOUSE, CHANGES, PATIENCE)
        assert isinstance(said, Unknown)
        assert (said.why, "turns changes away" in said.reason) == (Trouble.QUOTA, True)
    assert isinstance(await asking.ask(ASKER, SUBJECT, PATIENCE), Answer)
    await asking.close()


async def test_the_quota_is_shared_by_all_guests(bench: Bench) -> None:
    """What one has used another has not, and it says when there is room."""
    await bench.restart(quota=QuotaTerms(per_minute=1))
    assert isinstance(await bench.ask(), Answer)
    outcome = await bench.ask(OTHER)
    assert isinstance(outcome, Unknown)
    assert outcome.why is Trouble.QUOTA
    assert "there is room in" in outcome.reason


async def test_no_guest_spends_the_quota_for_all(bench: Bench) -> None:
    """One user with many processes has one share; another guest, and an administrator, are answered."""
    await bench.restart(quota=QuotaTerms(per_minute=0, per_day=4, share=0.5))
    names = [f"uid-7.pid-{number}" for number in range(3)]
    for name in names[:2]:
        assert isinstance(await bench.ask(replace(ASKER, guest=name), made_up(name)), Answer)
    greedy = replace(ASKER, guest=names[2])
    assert not bench.asking.has_room(greedy)
    outcome = await bench.ask(greedy, made_up("another"))
    assert isinstance(outcome, Unknown)
    assert (outcome.why, "its share of the day's quota" in outcome.reason) == (Trouble.QUOTA, True)
    assert bench.asking.trouble_of(greedy) == outcome
    assert bench.asking.over_share == 2
    assert bench.asking.trouble() is None
    assert isinstance(await bench.ask(replace(ASKER, guest="uid-8.pid-1")), Answer)
    assert isinstance(await bench.ask(replace(OTHER, standing=Standing.HOUSE)), Answer)
    assert len(bench.service.received) == len(bench.told) == 4


async def test_contents_have_one_share_whosever_they_are(bench: Bench) -> None:
    """Beside that of their guests; it is told when it is used, so that they can wait."""
    await bench.restart(quota=QuotaTerms(per_minute=0, per_day=4, share=0.5))
    request = submission(PART, Mode.EXTENDED)
    senders = [
        replace(ASKER, guest=guest, mode=Mode.EXTENDED, standing=Standing.CONTENT) for guest in ("a", "b")
    ]
    for sender in senders:
        assert bench.asking.trouble(sender) is None
        assert await bench.asking.send(sender, request, PATIENCE) is None
    trouble = bench.asking.trouble(senders[0])
    assert trouble is not None
    assert trouble.why is Trouble.QUOTA
    assert isinstance(await bench.ask(replace(ASKER, guest="a")), Answer)


async def test_guests_take_turns_for_the_requests_under_way(bench: Bench) -> None:
    """Who asks one question is not behind all that another has asked before."""
    await bench.restart(terms=AskingTerms(longest_seconds=SLOW, under_way=1))
    proceed = asyncio.Event()
    bench.service.act = answers_after(proceed)
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(bench.ask(subject=made_up(f"greedy {number}")))
        await until(lambda: bench.service.received, "the first question arrives")
        group.create_task(bench.ask(replace(ASKER, guest="modest")))
        await until(lambda: bench.asking.under_way == 6, "all wait")
        proceed.set()
    assert [told.asker.guest for told in bench.told].index("modest") <= 2


async def test_nothing_is_sent_that_could_not_be_recorded(bench: Bench) -> None:
    """The ledger fails: nothing arrives, the quota is not touched, the breaker stays closed."""
    await bench.restart(quota=QuotaTerms(per_minute=1))
    bench.fails = True
    assert await bench.why() is Trouble.NOT_RECORDED
    assert (bench.service.received, bench.ended, bench.breaker.state) == ([], [], State.CLOSED)
    bench.fails = False
    assert isinstance(await bench.ask(), Answer)


async def test_many_who_ask_the_same_are_one_request(bench: Bench) -> None:
    """Guests of one tenant share it; another tenant has its own, which it does not feel."""
    same = [replace(ASKER, guest=f"guest {number}") for number in range(50)]
    outcomes = await asyncio.gather(*(bench.ask(asker) for asker in [*same, OTHER]))
    assert {type(outcome) for outcome in outcomes} == {Answer}
    assert sorted(told.asker.scope for told in bench.told) == [16, 17]
    assert len(bench.service.received) == 2


async def test_requests_under_way_are_bounded(bench: Bench) -> None:
    """The service never has more of them than may be; all are answered."""
    await bench.restart(terms=AskingTerms(longest_seconds=SLOW, under_way=3))
    most = 0

    async def count(connection: ksn.Connection) -> None:
        nonlocal most
        most = max(most, bench.service.open)
        await asyncio.sleep(0)
        await ksn.answers()(connection)

    bench.service.act = count
    subjects = [Subject(Call.DOMAIN, f"host{number}.example") for number in range(20)]
    outcomes = await asyncio.gather(*(bench.ask(subject=subject) for subject in subjects))
    assert {type(outcome) for outcome in outcomes} == {Answer}
    assert 1 <= most <= 3


async def test_a_guest_that_asks_too_much_is_in_nobody_elses_way(bench: Bench) -> None:
    """It is told so at once; another guest is answered."""
    await bench.restart(terms=AskingTerms(longest_seconds=SLOW, per_guest=2))
    bench.service.act = ksn.hangs
    subjects = [Subject(Call.DOMAIN, f"host{number}.example") for number in range(2)]
    async with asyncio.TaskGroup() as group:
        for subject in subjects:
            group.create_task(bench.ask(subject=subject))
        await until(lambda: len(bench.service.received) == 2, "both questions arrive")
        assert await bench.why() is Trouble.BUSY
        bench.service.act = ksn.answers()
        assert isinstance(await bench.ask(OTHER), Answer)
        bench.asking.withdraw(ASKER.scope)
    assert await bench.ask() == Answer(Zone.RED, "EICAR-Test-File", hits=1000)


async def test_withdrawn_consent_ends_what_is_under_way_for_that_tenant_alone(bench: Bench) -> None:
    """Those who wait are told, the breaker learns nothing, another tenant's request goes on."""
    proceed = asyncio.Event()
    bench.service.act = answers_after(proceed)
    async with asyncio.TaskGroup() as group:
        mine, others = group.create_task(bench.why()), group.create_task(bench.ask(OTHER))
        await until(lambda: len(bench.service.received) == 2, "both questions arrive")
        bench.asking.withdraw(ASKER.scope)
        assert bench.asking.under_way == 1
        assert await mine is Trouble.WITHDRAWN
        mine_number = [told.asker for told in bench.told].index(ASKER) + 1
        assert bench.ended == [(mine_number, "cancelled")]
        proceed.set()
    assert isinstance(others.result(), Answer)
    assert bench.breaker.state is State.CLOSED


async def test_no_request_goes_out_after_consent_was_withdrawn(bench: Bench) -> None:
    """Neither one that is about to be written into the ledger nor one that waits for its turn."""
    await bench.restart(terms=AskingTerms(longest_seconds=SLOW, under_way=1))
    writing = asyncio.Event()

    class Slow(Bench):
        async def before(self, disclosure: Disclosure) -> int:
            writing.set()
            return await asyncio.Future[int]()

    slow = Slow()
    bench.asking._recorded._ledger = slow
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(bench.why(subject=Subject(Call.DOMAIN, name)))
            for name in ("a.example", "b.example")
        ]
        await writing.wait()
        bench.asking.withdraw(ASKER.scope)
    assert [task.result() for task in asked] == [Trouble.WITHDRAWN] * 2
    assert (bench.service.received, slow.ended) == ([], [])


async def test_what_was_not_sent_ends_with_the_last_who_waits(bench: Bench) -> None:
    """A guest that goes away leaves nothing behind."""
    await bench.restart(terms=AskingTerms(longest_seconds=SLOW, under_way=1))
    bench.service.act = ksn.hangs
    async with asyncio.TaskGroup() as group:
        first = group.create_task(bench.ask(OTHER))
        await until(lambda: bench.service.received, "the first question arrives")
        second = group.create_task(bench.ask())
        await until(lambda: bench.asking.under_way == 2, "the second waits for its turn")
        second.cancel()
        with suppress(asyncio.CancelledError):
            await second
        assert bench.asking.under_way == 1
        bench.asking.withdraw(OTHER.scope)
        await first
    assert len(bench.told) == 1


async def test_who_comes_later_shares_what_an_earlier_one_could_not_wait_for(bench: Bench) -> None:
    """The request went on, and its answer is the next guest's."""
    proceed = asyncio.Event()
    bench.service.act = answers_after(proceed)
    async with asyncio.TaskGroup() as group:
        early = group.create_task(bench.ask())
        await until(lambda: bench.service.received, "the question arrives")
        early.cancel()
        late = group.create_task(bench.ask(replace(ASKER, guest="late")))
        await asyncio.wait({early})
        proceed.set()
    assert isinstance(late.result(), Answer)
    assert len(bench.service.received) == 1


@pytest.mark.parametrize("budget", [0, -1, 0.01, math.nan, -math.inf])
async def test_without_time_nothing_is_asked(bench: Bench, budget: float) -> None:
    """Nor is anything told to the ledger."""
    assert await bench.why(budget=budget) is Trouble.TIMED_OUT
    assert bench.told == []


async def test_what_the_mode_or_the_service_does_not_have_is_not_asked(bench: Bench) -> None:
    """The result of an analysis is of the extended mode; statistics are no question of this service."""
    assert await bench.why(subject=Subject(Call.RESULT, "ab" * 32)) is Trouble.NOT_ALLOWED
    assert await bench.why(subject=Subject(Call.STATISTICS, "")) is Trouble.NOT_OFFERED
    assert (bench.told, bench.service.received) == ([], [])


class Broken:
    """A driver that breaks its word."""

    name = "broken"
    capabilities = frozenset(Call)

    async def ask(self, request: Request, seconds: float) -> Answer:
        """Raise what the port does not have."""
        raise ZeroDivisionError

    async def send(self, request: Request, seconds: float) -> None:
        """Raise as well."""
        raise ZeroDivisionError

    async def changes(self, request: Request, seconds: float) -> Changes:
        """Raise as well."""
        raise ZeroDivisionError

    async def close(self) -> None:
        """Have nothing to close."""


class Telling(Broken):
    """A driver that tells of changes."""

    async def changes(self, request: Request, seconds: float) -> Changes:
        """Of none, up to a position."""
        return Changes(7)


async def test_waiting_for_changes_is_not_of_the_quota(bench: Bench) -> None:
    """That is for questions: it goes out when their quota is spent, and takes none of it."""
    await bench.restart(quota=QuotaTerms(per_minute=2, per_day=2))
    asking = Asking(Telling(), bench.breaker, bench.quota, bench, AskingTerms())
    for _ in range(3):
        assert await asking.watch(HOUSE, CHANGES, PATIENCE) == Changes(7)
    assert asking.quota_left() == 2
    assert isinstance(await bench.ask(), Answer)
    assert await bench.why() is Trouble.QUOTA
    assert await asking.watch(HOUSE, CHANGES, PATIENCE) == Changes(7)


async def test_waiting_for_changes_goes_on_where_a_service_failed(bench: Bench) -> None:
    """So what flips is heard as soon as it does well again; not where the credentials were refused."""
    asking = Asking(Telling(), bench.breaker, bench.quota, bench, AskingTerms())
    bench.service.act = ksn.says(b"", 503)
    await bench.why()
    assert await bench.why() is Trouble.PAUSED
    assert await asking.watch(HOUSE, CHANGES, PATIENCE) == Changes(7)
    await bench.restart()
    asking = Asking(Telling(), bench.breaker, bench.quota, bench, AskingTerms())
    bench.service.act = ksn.says(b"", 401)
    await bench.why()
    refused = await asking.watch(HOUSE, CHANGES, PATIENCE)
    assert isinstance(refused, Unknown)
    assert refused.why is Trouble.PAUSED


async def test_a_driver_with_a_fault_fails_no_scan(bench: Bench) -> None:
    """It counts as a failure of the service."""
    asking = Asking(Broken(), bench.breaker, bench.quota, bench, AskingTerms())
    outcome = await asking.ask(ASKER, SUBJECT, PATIENCE)
    assert isinstance(outcome, Unknown)
    assert (outcome.why, bench.breaker.state) == (Trouble.FAULT, State.OPEN)
    assert bench.ended == [(1, "fault")]


async def test_what_is_handed_over_is_written_down_first(bench: Bench) -> None:
    """The ledger has its fields before the service does, and that it was taken."""
    request = submission(PART, Mode.EXTENDED)
    bench.service.act = ksn.answers({})
    assert await bench.asking.send(replace(ASKER, mode=Mode.EXTENDED), request, PATIENCE) is None
    assert [told.request for told in bench.told] == [request]
    assert bench.ended == [(1, "taken")]
    assert bench.service.received[0].body == PART.data


async def test_what_the_service_does_not_take_is_not_sent(bench: Bench) -> None:
    """Statistics, to one that has no use for them."""
    outcome = await bench.asking.send(ASKER, statistics({"period": 60}, Mode.STANDARD), PATIENCE)
    assert outcome is not None
    assert (outcome.why, bench.told, bench.service.received) == (Trouble.NOT_OFFERED, [], [])


async def test_a_service_that_takes_nothing_says_why(bench: Bench) -> None:
    """As for a question; and the next is not tried while it is left alone."""
    bench.service.act = ksn.says(b"", 503)
    asker, request = replace(ASKER, mode=Mode.EXTENDED), submission(PART, Mode.EXTENDED)
    first = await bench.asking.send(asker, request, PATIENCE)
    second = await bench.asking.send(asker, request, PATIENCE)
    assert [outcome and outcome.why for outcome in (first, second)] == [Trouble.UNREACHABLE, Trouble.PAUSED]
    assert bench.ended == [(1, "unreachable")]


async def test_withdrawn_consent_ends_what_is_handed_over(bench: Bench) -> None:
    """That of the tenant, and of no other."""
    bench.service.act = ksn.hangs
    request = submission(PART, Mode.EXTENDED)
    sending = asyncio.get_running_loop().create_task(
        bench.asking.send(replace(ASKER, mode=Mode.EXTENDED), request, PATIENCE)
    )
    await until(lambda: bench.service.open == 1, "it is being sent")
    bench.asking.withdraw(OTHER.scope)
    bench.asking.withdraw(ASKER.scope)
    outcome = await sending
    assert outcome is not None
    assert outcome.why is Trouble.WITHDRAWN
    assert bench.ended == [(1, "cancelled")]


async def test_whether_there_is_room_is_told_without_asking(bench: Bench) -> None:
    """For a guest's own bound, the quota and the breaker; and what is in the way."""
    assert bench.asking.has_room(ASKER)
    assert bench.asking.trouble() is None
    await bench.restart(quota=QuotaTerms(0, 1))
    assert bench.asking.quota_left() == 1
    await bench.ask()
    assert not bench.asking.has_room(ASKER)
    trouble = bench.asking.trouble()
    assert trouble is not None
    assert (trouble.why, bench.asking.quota_left()) == (Trouble.QUOTA, 0)
    await bench.restart()
    bench.service.act = ksn.says(b"", 401)
    await bench.why()
    trouble = bench.asking.trouble()
    assert trouble is not None
    assert (trouble.why, bench.asking.breaker_state) == (Trouble.REFUSED, State.OPEN)
    assert not bench.asking.has_room(ASKER)


async def test_a_service_that_refused_is_asked_again_when_told(bench: Bench) -> None:
    """Also with the key that it refused; the sentence says what to do. One that failed stays left alone."""
    bench.service.act = ksn.says(b"", 401)
    await bench.why()
    trouble = bench.asking.trouble()
    assert trouble is not None
    assert "svm signatures reload" in trouble.reason
    assert "tried again in 60 min" in trouble.reason
    bench.service.act = ksn.answers()
    assert bench.asking.ask_again(changed=False)
    assert isinstance(await bench.ask(), Answer)
    bench.service.act = ksn.says(b"", 503)
    await bench.why()
    assert not bench.asking.ask_again(changed=False)
    assert await bench.why() is Trouble.PAUSED
    assert bench.asking.ask_again(changed=True)
    assert bench.breaker.state is State.CLOSED


async def test_what_is_in_no_hurry_lets_others_go_first(bench: Bench) -> None:
    """It has no room while somebody waits for his turn, its share is used or the service is left alone."""
    later = replace(ASKER, standing=Standing.LATER)
    await bench.restart(quota=QuotaTerms(per_minute=4), terms=AskingTerms(longest_seconds=SLOW, under_way=1))
    bench.service.act = ksn.hangs
    async with asyncio.TaskGroup() as group:
        group.create_task(bench.ask())
        await until(lambda: bench.service.received, "one is asked")
        assert bench.asking.has_room_behind(later)
        group.create_task(bench.ask(subject=made_up("another")))
        await until(lambda: bench.asking.under_way == 2, "one waits")
        assert not bench.asking.has_room_behind(later)
        bench.asking.withdraw(ASKER.scope)
    bench.service.act = ksn.answers()
    assert isinstance(await bench.ask(later), Answer)
    assert not bench.asking.has_room_behind(later)
    assert (bench.asking.has_room(OTHER), bench.asking.over_share) == (True, 0)
    await bench.restart()
    bench.service.act = ksn.says(b"", 503)
    await bench.why()
    assert not bench.asking.has_room_behind(later)


async def test_every_answer_is_told_whoever_still_waits(bench: Bench) -> None:
    """With who asked and about what."""
    told: list[object] = []
    bench.asking.on_answer = lambda *what: told.append(what)
    answer = await bench.ask()
    assert told == [(ASKER, SUBJECT, answer)]
