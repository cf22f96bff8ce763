"""One upload and one scan for each unknown digest, however many guests ask: who sends, who waits.

Pure: no I/O and no event loop, the clock is passed in. A flight is born when the first guest asks
about a digest and ends when an answer settles it or its last waiter leaves. At any time at most one
question holds the flight's lease: its guest is asked for the content. The others wait. A flight may be held
at first, while somebody else is asked who may know the answer: then nobody is asked for the content yet.

A lease is passed on when its holder gives up, leaves, makes no progress with any upload for
`stall_seconds`, or has had it for its time, each of the last two only while another guest waits. That time
is `lease_seconds` for the first, and half of what is left of twice that for each further one of the
flight: however many guests fail to deliver, they soon hold it for seconds only.
Guests are asked in turn, those first whose user was asked least: one that asks a thousand times, that
leaves and comes back, or that comes under many names, does not stand in front of one that would deliver.
And if it delivers after all, verified content settles the flight whoever sent it.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from appliance.domain.guest import user_of
from appliance.domain.verdict import Answer, NoAnswer

Key = tuple[int, bytes]  # scope and digest


class Waiter(Protocol):
    """Somebody's open questions. `token` is the waiter's own number for one of them."""

    @property
    def guest_id(self) -> str:
        """Whose questions these are."""

    def content_needed(self, token: int, lease: int) -> None:
        """Be asked for the content, under the lease."""

    def settled(self, token: int, answer: Answer) -> None:
        """Be answered; the question is closed."""


Question = tuple[Waiter, int]

LEAST_LEASE_SECONDS = 3.0  # of a flight whose time was spent by guests that did not deliver
_MOST_ASKED = 1024  # names that a flight remembers; a guest may come back under a new one


@dataclass(slots=True, eq=False)
class _Lease:
    key: Key
    holder: Question
    guest_id: str
    granted_at: float
    seconds: float  # that it lasts while others wait
    watched: bool = False  # whether `expire` looks at it


@dataclass(slots=True, eq=False)
class _Flight:
    """guests: the questions of each, the guests in turn. asked: how often each guest and user was asked.

    lease: 0 while nobody is asked. spent: the seconds that leases took which brought nothing.
    held: nobody is to be asked yet; the number of that hold, 0 for none. urgent: somebody's open waits.
    """

    guests: dict[str, dict[Question, None]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    lease: int = 0
    spent: float = 0.0
    scanning: bool = False
    held: int = 0
    urgent: bool = False

    def add(self, question: Question) -> None:
        """Let a question wait."""
        self.guests.setdefault(question[0].guest_id, {})[question] = None

    def remove(self, question: Question) -> None:
        """Take a question out."""
        guest_id = question[0].guest_id
        del self.guests[guest_id][question]
        if not self.guests[guest_id]:
            del self.guests[guest_id]

    def next_question(self) -> Question:
        """The question to ask: of a guest whose user was asked least, among those the guest itself."""
        names = iter(self.guests)
        guest_id = next(names) if len(self.guests) == 1 else min(names, key=self._times_asked)
        if len(self.asked) >= _MOST_ASKED:
            self.asked.clear()
        for name in {user_of(guest_id), guest_id}:
            self.asked[name] = self.asked.get(name, 0) + 1
        questions = self.guests[guest_id] = self.guests.pop(guest_id)  # to the end
        return next(iter(questions))

    def _times_asked(self, guest_id: str) -> tuple[int, int]:
        return self.asked.get(user_of(guest_id), 0), self.asked.get(guest_id, 0)


class Flights:
    """All flights of an SVM."""

    def __init__(self, stall_seconds: float, lease_seconds: float, clock: Callable[[], float]) -> None:
        """clock: seconds, never going back."""
        self.passed_on = 0  # leases that were taken from a guest that did not deliver
        self._stall_seconds = stall_seconds
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._flights: dict[Key, _Flight] = {}
        self._leases: dict[int, _Lease] = {}
        self._questions: dict[Waiter, dict[int, Key]] = {}
        self._held: dict[str, set[int]] = {}  # guest -> its leases
        self._progress: dict[str, float] = {}  # guest with leases -> when it last sent something
        self._checks: list[tuple[float, int]] = []  # heap: when to look at a lease that others wait for
        self._next_lease = 1
        self._holds = 0

    @property
    def flights(self) -> int:
        """Digests that somebody waits for."""
        return len(self._flights)

    @property
    def waiting(self) -> int:
        """Questions that are open."""
        return sum(map(len, self._questions.values()))

    def is_open(self, key: Key) -> bool:
        """Whether somebody waits for the digest."""
        return key in self._flights

    def keys_of(self, digest: bytes) -> list[Key]:
        """The flights of a digest, of every scope."""
        return [key for key in self._flights if key[1] == digest]

    def join(self, key: Key, waiter: Waiter, token: int, hold: bool = False) -> int | None:
        """Ask about a digest: a lease when this guest is to send the content, None to wait.

        hold: a flight that begins with this is held until `release`.
        """
        flight = self._flights.get(key)
        question = (waiter, token)
        self._questions.setdefault(waiter, {})[token] = key
        if flight is not None:
            flight.add(question)
            self._watch(flight)
            return None
        flight = self._flights[key] = _Flight()
        flight.add(question)
        if not hold:
            return self._grant(flight, key)
        self._holds += 1
        flight.held = self._holds
        return None

    def hurry(self, key: Key) -> None:
        """Note that somebody's open waits for the digest, where its flight is open."""
        flight = self._flights.get(key)
        if flight is not None:
            flight.urgent = True

    def is_urgent(self, key: Key) -> bool:
        """Whether somebody's open waits, or has waited, for the digest."""
        flight = self._flights.get(key)
        return flight is not None and flight.urgent

    def hold_of(self, key: Key) -> int:
        """The number of the hold that a flight is under, 0 for none."""
        flight = self._flights.get(key)
        return 0 if flight is None else flight.held

    def release(self, key: Key, hold: int) -> None:
        """Ask for the content now, where a flight is still open and under that hold."""
        flight = self._flights.get(key)
        if flight is not None and hold and flight.held == hold:
            flight.held = 0
            self._ask_next(key)

    def claim(self, lease: int, guest_id: str) -> Key | None:
        """Begin an upload: the digest that the guest's lease is for, None where it holds no such lease."""
        held = self._leases.get(lease)
        if held is None or held.guest_id != guest_id:
            return None
        self._progress[guest_id] = self._clock()
        return held.key

    def progress(self, guest_id: str) -> None:
        """Note that bytes of this guest arrived."""
        if guest_id in self._progress:
            self._progress[guest_id] = self._clock()

    def scanning(self, key: Key) -> None:
        """Note that verified content is with the engines: the flight needs no lease any more."""
        flight = self._flights.get(key)
        if flight is not None:
            flight.scanning = True
            self._drop_lease(flight)

    def give_up(self, lease: int, guest_id: str, answer: NoAnswer | None) -> None:
        """End a failed upload: its question alone gets `answer`, and the next guest is asked.

        None: the guest is gone, and its question with it.
        """
        held = self._leases.get(lease)
        if held is None or held.guest_id != guest_id:
            return  # passed on meanwhile: the question waits for whoever sends now
        flight, (waiter, token) = self._flights[held.key], held.holder
        self._drop_lease(flight)
        self._close(held.key, flight, held.holder)
        if answer is not None:
            waiter.settled(token, answer)
        self._ask_next(held.key)

    def settle(self, key: Key, answer: Answer) -> int:
        """Tell all who wait, and end the flight; how many questions that answers."""
        flight = self._flights.get(key)
        if flight is None:
            return 0
        self._drop_lease(flight)
        questions = [question for asked in flight.guests.values() for question in asked]
        for question in questions:
            self._close(key, flight, question)
        for waiter, token in questions:
            waiter.settled(token, answer)
        return len(questions)

    def leave(self, waiter: Waiter, tokens: Iterable[int] | None) -> None:
        """Close questions without an answer: these, or (None) all of the waiter's."""
        asked = self._questions.get(waiter, {})
        for token in list(asked if tokens is None else tokens):
            key = asked.get(token)
            if key is None:
                continue
            flight = self._flights[key]
            if flight.lease and self._leases[flight.lease].holder == (waiter, token):
                self._drop_lease(flight)
            self._close(key, flight, (waiter, token))
            self._ask_next(key)

    def expire(self) -> None:
        """Pass on the leases of guests that do not deliver. To be called a few times a second."""
        now = self._clock()
        while self._checks and self._checks[0][0] <= now:
            _, lease = heapq.heappop(self._checks)
            held = self._leases.get(lease)
            if held is None:
                continue
            if len(self._flights[held.key].guests) < 2:
                held.watched = False  # nobody else waits any more
                continue
            due = self._due(held)
            if due > now:
                heapq.heappush(self._checks, (due, lease))
            else:
                self._pass_on(held)

    def _due(self, held: _Lease) -> float:
        """When the lease is taken from its holder, unless something arrives before.

        Never at once: a guest that stalls elsewhere may still deliver this, and leases that two such
        guests hand each other must not go round without time passing.
        """
        idle_since = max(self._progress[held.guest_id], held.granted_at)
        return min(idle_since + self._stall_seconds, held.granted_at + held.seconds)

    def _pass_on(self, held: _Lease) -> None:
        flight = self._flights[held.key]
        self.passed_on += 1
        self._drop_lease(flight)
        self._ask_next(held.key)

    def _ask_next(self, key: Key) -> None:
        """Ask whose turn it is for the content, where nobody is asked and nothing is scanned."""
        flight = self._flights.get(key)
        if flight is not None and not (flight.lease or flight.scanning or flight.held):
            lease = self._grant(flight, key)
            waiter, token = self._leases[lease].holder
            waiter.content_needed(token, lease)

    def _grant(self, flight: _Flight, key: Key) -> int:
        lease, now = self._next_lease, self._clock()
        self._next_lease += 1
        question = flight.next_question()
        guest_id = question[0].guest_id
        flight.lease = lease
        left = max(self._lease_seconds - flight.spent / 2, min(LEAST_LEASE_SECONDS, self._lease_seconds))
        self._leases[lease] = _Lease(key, question, guest_id, now, left)
        held = self._held.setdefault(guest_id, set())
        if not held:
            self._progress[guest_id] = now
        held.add(lease)
        self._watch(flight)
        return lease

    def _watch(self, flight: _Flight) -> None:
        """Have `expire` look at the flight's lease once others wait for it."""
        held = self._leases.get(flight.lease)
        if held is not None and not held.watched and len(flight.guests) > 1:
            held.watched = True
            heapq.heappush(self._checks, (self._clock(), flight.lease))

    def _drop_lease(self, flight: _Flight) -> None:
        if not flight.lease:
            return
        held = self._leases.pop(flight.lease)
        flight.spent += min(self._clock() - held.granted_at, held.seconds)
        mine = self._held[held.guest_id]
        mine.discard(flight.lease)
        if not mine:
            del self._held[held.guest_id]
            del self._progress[held.guest_id]
        flight.lease = 0

    def _close(self, key: Key, flight: _Flight, question: Question) -> None:
        """Take a question out; the flight ends with its last."""
        flight.remove(question)
        waiter, token = question
        asked = self._questions[waiter]
        del asked[token]
        if not asked:
            del self._questions[waiter]
        if not flight.guests:
            del self._flights[key]
