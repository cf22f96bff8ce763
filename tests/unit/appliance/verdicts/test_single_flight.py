"""Who sends, who waits."""

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.domain.outcome import Disposition, Source, Unanswered
from appliance.domain.verdict import Answer, NoAnswer, Verdict
from appliance.verdicts.single_flight import LEAST_LEASE_SECONDS, Flights

KEY = (16, b"d" * 32)
GOOD = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 0)
FAILED = NoAnswer(Unanswered.ENGINE_ERROR, "failed")


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@dataclass(eq=False)
class Asker:
    """A waiter that keeps what it is told."""

    guest_id: str
    leases: list[int] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)

    def content_needed(self, token: int, lease: int) -> None:
        """Be asked for content."""
        self.leases.append(lease)

    def settled(self, token: int, answer: Answer) -> None:
        """Be answered, once."""
        assert token not in self.answers
        self.answers[token] = answer


def three() -> tuple[Flights, Clock, list[Asker], int]:
    """A flight with three guests in line, the first with the lease."""
    clock = Clock()
    flights = Flights(10, 60, clock)
    askers = [Asker(name) for name in "abc"]
    leases = [flights.join(KEY, asker, 1) for asker in askers]
    assert leases[1:] == [None, None]
    assert leases[0] is not None
    return flights, clock, askers, leases[0]


def test_one_answer_settles_all() -> None:
    """Everybody who waits is told, and nothing is left."""
    flights, _, askers, _ = three()
    assert flights.settle(KEY, GOOD) == 3
    assert flights.settle(KEY, GOOD) == 0
    assert [asker.answers for asker in askers] == [{1: GOOD}] * 3
    assert (flights.flights, flights.waiting) == (0, 0)


def test_a_failed_upload_ends_for_its_guest_alone() -> None:
    """The next in line is asked; the claim of the one that failed binds nobody else."""
    flights, _, (first, second, third), lease = three()
    flights.give_up(lease, "a", FAILED)
    assert first.answers == {1: FAILED}
    assert second.answers == third.answers == {}
    assert len(second.leases) == 1
    assert third.leases == []


def test_a_guest_that_leaves_passes_its_lease_on() -> None:
    """The next in line is asked when the stream of the one before ends."""
    flights, _, (first, second, _), _ = three()
    flights.leave(first, None)
    assert first.answers == {}
    assert len(second.leases) == 1


def test_a_waiter_that_leaves_changes_nothing_for_others() -> None:
    """The lease stays where it is."""
    flights, _, (_, second, third), lease = three()
    flights.leave(second, [1])
    assert flights.claim(lease, "a") == KEY
    assert third.leases == []


def test_a_guest_without_progress_loses_its_lease_to_the_next_in_line() -> None:
    """Only time without any bytes counts; the one that lost it waits on, at the end of the line."""
    flights, clock, (first, second, third), lease = three()
    clock.now += 9
    flights.progress("a")
    clock.now += 9
    flights.expire()
    assert second.leases == []
    clock.now += 1
    flights.expire()
    assert len(second.leases) == 1
    assert flights.claim(lease, "a") is None
    clock.now += 10
    flights.expire()
    clock.now += 10
    flights.expire()
    assert len(third.leases) == 1
    assert len(first.leases) == 1
    assert first.answers == {}


def test_progress_with_other_uploads_does_not_hold_a_lease_for_ever() -> None:
    """After lease_seconds the next is asked, however busy the holder is."""
    flights, clock, (_, second, _), _ = three()
    for _ in range(12):
        clock.now += 5
        flights.progress("a")
        flights.expire()
    assert len(second.leases) == 1


def test_nobody_loses_a_lease_that_nobody_else_waits_for() -> None:
    """A slow guest that is alone may take its time; the next who asks then need not wait as long."""
    clock = Clock()
    flights = Flights(10, 60, clock)
    slow, quick = Asker("slow"), Asker("quick")
    lease = flights.join(KEY, slow, 1)
    clock.now += 1000
    flights.expire()
    assert lease is not None
    assert flights.claim(lease, "slow") == KEY
    clock.now += 1000
    flights.join(KEY, quick, 1)
    flights.expire()
    assert len(quick.leases) == 1


def test_guests_that_all_stall_do_not_hand_a_lease_round_without_end() -> None:
    """With every guest idle on other uploads, a lease moves once each time it runs out."""
    clock = Clock()
    flights = Flights(10, 60, clock)
    askers = [Asker(name) for name in "ab"]
    for number, asker in enumerate(askers):
        assert flights.join((16, bytes([number]) * 32), asker, 1) is not None
    for asker in askers:
        flights.join(KEY, asker, 2)
    for moves in range(1, 6):
        clock.now += 10
        flights.expire()
        assert flights.passed_on == moves


def test_a_guest_that_asks_often_is_asked_once_before_others() -> None:
    """Neither many questions nor giving up in a loop puts a guest in front of one that waits."""
    clock = Clock()
    flights = Flights(10, 60, clock)
    greedy, honest = Asker("greedy"), Asker("honest")
    lease = flights.join(KEY, greedy, 0)
    for token in range(1, 100):
        flights.join(KEY, greedy, token)
    flights.join(KEY, honest, 1)
    assert lease is not None
    flights.give_up(lease, "greedy", FAILED)
    flights.join(KEY, greedy, 100)
    assert len(honest.leases) == 1
    assert greedy.leases == []
    flights.give_up(honest.leases[0], "honest", FAILED)
    late = Asker("late")
    flights.join(KEY, late, 1)
    assert len(greedy.leases) == 1
    flights.give_up(greedy.leases[0], "greedy", FAILED)
    assert len(late.leases) == 1


def test_a_guest_that_leaves_and_comes_back_waits_its_turn() -> None:
    """Coming back does not make it new."""
    flights, _, (first, second, third), _ = three()
    flights.leave(first, None)
    flights.join(KEY, first, 2)
    flights.leave(second, None)
    assert len(third.leases) == 1
    assert first.leases == []


def seconds_until_asked(flights: Flights, clock: Clock, holders: list[Asker], victim: Asker) -> float:
    """How long a victim waits while everybody in front of it holds a lease as long as it can."""
    began = clock.now
    while not victim.leases:
        clock.now += 0.5
        for holder in holders:
            flights.progress(holder.guest_id)
        flights.expire()
        assert clock.now < began + 10_000
    return clock.now - began


@given(before=st.integers(1, 300), after=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_a_guest_of_another_user_is_asked_soon(before: int, after: int) -> None:
    """However many tickets of one user trickle, and wherever they stand, it takes one lease."""
    clock = Clock()
    flights = Flights(15, 60, clock)
    names = [f"uid-1001.pid-{number // 8}.{number % 8 + 1}" for number in range(before + after)]
    holders, victim = [Asker(name) for name in names], Asker("uid-0.pid-1")
    for holder in holders[:before]:
        flights.join(KEY, holder, 1)
    flights.join(KEY, victim, 1)
    for holder in holders[before:]:
        flights.join(KEY, holder, 1)
    assert seconds_until_asked(flights, clock, holders, victim) <= 60.5


@given(users=st.lists(st.integers(0, 5), min_size=1, max_size=60))
@example(users=[0] * 12 + [1])  # the one guest of a user is asked as often as all of another's
@settings(max_examples=40, deadline=None)
def test_leases_that_bring_nothing_get_short(users: list[int]) -> None:
    """The users take turns: whoever stands behind k guests of its own user waits for k rounds of them.

    Those of all rounds together take two leases, and some seconds each.
    """
    clock = Clock()
    flights = Flights(15, 60, clock)
    holders = [Asker(f"uid-{user}.pid-{number}") for number, user in enumerate(users)]
    for holder in holders:
        flights.join(KEY, holder, 1)
    victim = Asker("uid-0.pid-999")
    flights.join(KEY, victim, 1)
    waited = seconds_until_asked(flights, clock, holders, victim)
    rounds = users.count(0) + 1
    assert waited <= 2 * 60 + (LEAST_LEASE_SECONDS + 1) * rounds * len({0, *users})


def test_a_flight_that_is_held_asks_nobody_yet() -> None:
    """Until it is released: then the first who waits is asked, and others wait as ever."""
    flights, first, second = Flights(15, 60, Clock()), Asker("a"), Asker("b")
    assert flights.join(KEY, first, 1, hold=True) is None
    assert flights.join(KEY, second, 1) is None
    flights.expire()
    assert (first.leases, second.leases) == ([], [])
    hold = flights.hold_of(KEY)
    flights.release(KEY, hold + 1)
    assert first.leases == []
    flights.release(KEY, hold)
    assert (len(first.leases), second.leases) == (1, [])
    flights.release(KEY, hold)
    assert (len(first.leases), flights.hold_of(KEY)) == (1, 0)


def test_a_flight_that_is_held_can_be_left_and_settled() -> None:
    """Who leaves is not asked later; who is told while it is held is not asked at all."""
    flights, first, second = Flights(15, 60, Clock()), Asker("a"), Asker("b")
    flights.join(KEY, first, 1, hold=True)
    flights.join(KEY, second, 1)
    flights.leave(first, None)
    assert second.leases == []
    flights.settle(KEY, FAILED)
    assert second.answers == {1: FAILED}
    flights.release(KEY, 1)
    assert (first.leases, second.leases, flights.flights) == ([], [], 0)
    third = Asker("c")
    flights.join(KEY, third, 1, hold=True)
    flights.release(KEY, 1)  # the hold of the flight before
    assert third.leases == []


def test_a_guest_that_gives_up_at_once_takes_no_time_from_the_next() -> None:
    """A file that changed here and there does not have the others' leases cut."""
    clock = Clock()
    flights = Flights(15, 60, clock)
    first, *rest = askers = [Asker(name) for name in "abcdef"]
    lease, *_ = [flights.join(KEY, asker, 1) for asker in askers]
    assert lease is not None
    flights.give_up(lease, first.guest_id, FAILED)
    for asker in rest[:-2]:
        flights.give_up(asker.leases[0], asker.guest_id, FAILED)
    assert seconds_until_asked(flights, clock, askers, rest[-1]) == pytest.approx(60, abs=0.5)


def test_a_guest_that_alone_asks_twice_keeps_its_lease() -> None:
    """It does not take a lease from itself."""
    clock = Clock()
    flights = Flights(10, 60, clock)
    alone = Asker("alone")
    flights.join(KEY, alone, 1)
    flights.join(KEY, alone, 2)
    clock.now += 1000
    flights.expire()
    assert alone.leases == []
    assert flights.passed_on == 0


def test_a_lease_that_others_come_and_go_for_is_watched_once() -> None:
    """A guest that joins and leaves in a loop fills no memory."""
    clock = Clock()
    flights = Flights(10, 60, clock)
    flights.join(KEY, Asker("holder"), 1)
    for token in range(1000):
        restless = Asker("restless")
        flights.join(KEY, restless, token)
        flights.leave(restless, None)
    assert len(flights._checks) == 1


def test_a_waiter_may_ask_again_while_it_is_told() -> None:
    """What a callback does is seen in full: a new flight has one lease, and an old one goes on."""
    flights = Flights(10, 60, Clock())

    class Insistent(Asker):
        def settled(self, token: int, answer: Answer) -> None:
            super().settled(token, answer)
            lease = flights.join(KEY, self, token + 1)
            if lease is not None:
                self.leases.append(lease)

    insistent = Insistent("a")
    lease = flights.join(KEY, insistent, 1)
    assert lease is not None
    flights.give_up(lease, "a", FAILED)
    assert len(insistent.leases) == 1
    assert flights.claim(insistent.leases[0], "a") == KEY
    flights.join(KEY, Asker("b"), 1)
    flights.settle(KEY, GOOD)
    assert (flights.flights, flights.waiting) == (1, 1)


def test_a_lease_counts_for_its_guest_alone() -> None:
    """Nobody can claim or give up what another was asked for."""
    flights, _, (first, *_), lease = three()
    assert flights.claim(lease, "b") is None
    assert flights.claim(lease + 99, "a") is None
    flights.give_up(lease, "b", FAILED)
    assert flights.claim(lease, "a") == KEY
    assert first.answers == {}


def test_while_content_is_scanned_nobody_is_asked() -> None:
    """Neither time nor a guest that leaves starts a second upload."""
    flights, clock, (first, second, third), _ = three()
    flights.scanning(KEY)
    clock.now += 1000
    flights.expire()
    flights.leave(first, None)
    assert second.leases == third.leases == []
    flights.settle(KEY, GOOD)
    assert second.answers == third.answers == {1: GOOD}


def test_scopes_have_flights_of_their_own() -> None:
    """A digest that another tenant sends is not waited for: that would tell what the other holds."""
    flights = Flights(10, 60, Clock())
    assert flights.join((16, KEY[1]), Asker("a"), 1) is not None
    assert flights.join((17, KEY[1]), Asker("b"), 1) is not None
    assert sorted(flights.keys_of(KEY[1])) == [(16, KEY[1]), (17, KEY[1])]


class AnyOrder(RuleBasedStateMachine):
    """Guests do anything in any order; nobody is answered twice or forgotten."""

    def __init__(self) -> None:
        """Four guests, and no flight."""
        super().__init__()
        self.clock = Clock()
        self.flights = Flights(10, 60, self.clock)
        self.askers = [Asker(name) for name in "abcd"]
        self.open: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.token = 0
        self.scanning: set[tuple[int, bytes]] = set()

    def _collect(self) -> None:
        for number, asker in enumerate(self.askers):
            for token in list(asker.answers):
                self.open.pop((number, token), None)

    def _lease_of(self, number: int) -> tuple[int, tuple[int, bytes]] | None:
        guest = self.askers[number].guest_id
        for lease in sorted(self.flights._held.get(guest, ())):
            return lease, self.flights._leases[lease].key
        return None

    @rule(number=st.integers(0, 3), digest=st.integers(0, 2))
    def join(self, number: int, digest: int) -> None:
        """Ask about one of three digests."""
        self.token += 1
        key = (16, bytes([digest]) * 32)
        if key not in {*self.open.values()}:
            self.scanning.discard(key)
        self.open[number, self.token] = key
        self.flights.join(key, self.askers[number], self.token)

    @rule(number=st.integers(0, 3), answered=st.booleans())
    def give_up(self, number: int, answered: bool) -> None:
        """Fail an upload."""
        held = self._lease_of(number)
        if held is None:
            return
        lease = held[0]
        _, token = self.flights._leases[lease].holder
        self.flights.give_up(lease, self.askers[number].guest_id, FAILED if answered else None)
        self.open.pop((number, token))
        self._collect()

    @rule(number=st.integers(0, 3))
    def deliver(self, number: int) -> None:
        """Bring content, which is then scanned."""
        held = self._lease_of(number)
        if held is not None:
            self.flights.scanning(held[1])
            self.scanning.add(held[1])

    @rule(number=st.integers(0, 3))
    def leave(self, number: int) -> None:
        """Go away with all questions."""
        self.flights.leave(self.askers[number], None)
        self.open = {question: key for question, key in self.open.items() if question[0] != number}

    @precondition(lambda self: self.scanning)
    @rule()
    def settle(self) -> None:
        """A scan ends."""
        key = self.scanning.pop()
        self.flights.settle(key, GOOD)
        self._collect()

    @rule(seconds=st.sampled_from([1, 10, 60]))
    def time_passes(self, seconds: int) -> None:
        """Leases run out."""
        self.clock.now += seconds
        self.flights.expire()

    @invariant()
    def every_open_question_waits_and_somebody_is_asked(self) -> None:
        """Nothing is forgotten: open questions are those of the flights, each with one lease or a scan."""
        assert self.flights.waiting == len(self.open)
        assert set(self.flights._flights) == set(self.open.values())
        for flight in self.flights._flights.values():
            assert bool(flight.lease) != flight.scanning
        assert len(self.flights._leases) == sum(bool(f.lease) for f in self.flights._flights.values())
        assert sum(map(len, self.flights._held.values())) == len(self.flights._leases)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
