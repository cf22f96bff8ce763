"""Asks a reputation service without ever being in the way.

A caller gives its budget, and has an answer or a reason for none within a slice of it, whatever the service
does. In front of the service stand, in this order: a bound on what each guest may have open, the single
flight of each subject (of one tenant: what another asks is neither seen nor felt), a bound on requests under
way, the circuit breaker, the quota, and the disclosure ledger: where it fails, nothing is sent, and of
what was sent it is told how it ended.

A request that has gone out runs to its own end, whoever still waits: what was disclosed is worth its answer,
and a guest that gives it no time says nothing about the service. One that has not gone out ends with the last
who waits. When consent is withdrawn, `withdraw` ends all of the tenant's: none goes out after it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from appliance.domain.policy import KsnType, Mode
from appliance.ksn.breaker import END_BY_TROUBLE, Breaker, End, State
from appliance.ksn.quota import AskingTerms, Quota
from appliance.ksn.reputation import (
    Answer,
    Changes,
    ReputationError,
    ReputationService,
    Request,
    Subject,
    Trouble,
)
from appliance.ksn.statement import request_for


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a question is asked, and by which decision it may be.

    scope: the tenant's part of the cache. type, mode: in which the tenant takes part. statement: the version
    of the Statement of that type which it accepted. documents: whether those may be handed over.
    """

    scope: int
    tenant: str
    guest: str
    type: KsnType
    mode: Mode
    statement: int
    documents: bool = False


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is about to leave, and on whose behalf; `statement.disclosed` lists its fields."""

    service: str
    asker: Asker
    request: Request


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why there is no answer. Never kept. reason: a sentence for people."""

    why: Trouble
    reason: str


class Ledger(Protocol):
    """Where it is written down what leaves. `ledger.DisclosureLedger` is it."""

    async def before(self, disclosure: Disclosure) -> int:
        """Return the number under which it stands, once that is durable. Raises where it is not."""

    def after(self, number: int, result: str) -> None:
        """Note how the request of that number ended. Does not wait."""


Outcome = Answer | Unknown
Exchange = Callable[[], Coroutine[Any, Any, Answer | None]]  # with a service; None: it took what it was sent

_Key = tuple[int, Mode, Subject]

TAKEN = "taken"  # the result, in the ledger, of what was handed over
CANCELLED = "cancelled"  # the result, in the ledger, of what we ended ourselves
_WITHDRAWN = Unknown(Trouble.WITHDRAWN, "the tenant takes part in KSN no more")


class _Flight:
    """A subject that is asked about. waiting: how many wait. sent: whether the request has gone out."""

    task: asyncio.Task[Any]
    waiting = 0
    sent = False


class Asking:
    """Asks one service on behalf of all tenants.

    on_answer: told every answer that comes, whether or not somebody still waits for it. allows: the gate,
    which is asked again right before anything goes out.
    """

    def __init__(
        self,
        service: ReputationService,
        breaker: Breaker,
        quota: Quota,
        ledger: Ledger,
        terms: AskingTerms,
    ) -> None:
        """ledger: is told before each request goes out, and how it ended; when it raises, nothing goes."""
        self.allows: Callable[[Asker], bool] = lambda _asker: True
        self.on_answer: Callable[[Asker, Subject, Answer], None] = lambda _asker, _subject, _answer: None
        self._service = service
        self._breaker = breaker
        self._quota = quota
        self._ledger = ledger
        self._terms = terms
        self._slots = asyncio.Semaphore(terms.under_way)
        self._flights: dict[_Key, _Flight] = {}
        self._sendings: dict[asyncio.Task[Any], int] = {}  # what is done for one tenant alone
        self._guests: Counter[tuple[int, str]] = Counter()

    @property
    def under_way(self) -> int:
        """Subjects that are asked about now."""
        return len(self._flights)

    def has_room(self, asker: Asker) -> bool:
        """Whether a question of this guest would go out now, as far as that can be told without trying."""
        if self._guests[asker.scope, asker.guest] >= self._terms.per_guest:
            return False
        return self._breaker.state is not State.OPEN and not self._quota.seconds_to_room()

    def slice_of(self, budget: float) -> float:
        """How many of `budget` seconds a question may take."""
        return min(budget * self._terms.share, self._terms.longest_seconds)

    def quota_left(self) -> int | None:
        """Questions that are left today, None for as many as one likes."""
        return self._quota.left_today()

    @property
    def breaker_state(self) -> State:
        """Of the circuit breaker, now."""
        return self._breaker.state

    @property
    def service_name(self) -> str:
        """As the ledger has it."""
        return self._service.name

    def trouble(self) -> Unknown | None:
        """Why no question would go out now, whoever asks; None where one would."""
        name = self.service_name
        if self._breaker.refused:
            return Unknown(
                Trouble.REFUSED, f"{name} refuses the provider's credentials: set an API key in force"
            )
        if self._breaker.state is State.OPEN:
            return Unknown(Trouble.PAUSED, f"{name} failed lately and is left alone for a while")
        wait = self._quota.seconds_to_room()
        return Unknown(Trouble.QUOTA, f"the quota is spent: there is room in {wait:.0f} s") if wait else None

    async def ask(self, asker: Asker, subject: Subject, budget: float) -> Outcome:
        """Return what the service says, or why it says nothing, within the share of `budget` seconds.

        Raises nothing but the caller's own cancellation.
        """
        return await self.ask_within(asker, subject, self.slice_of(budget))

    async def ask_within(self, asker: Asker, subject: Subject, seconds: float) -> Outcome:
        """As `ask`, within `seconds` of a slice that the caller has taken itself, for several questions."""
        if not seconds >= self._terms.shortest_seconds:  # so that a budget which is no number is none
            return Unknown(Trouble.TIMED_OUT, "too little time is left to ask KSN")
        guest = (asker.scope, asker.guest)
        if self._guests[guest] >= self._terms.per_guest:
            return Unknown(Trouble.BUSY, f"{asker.guest} has {self._terms.per_guest} questions open with KSN")
        self._guests[guest] += 1
        try:
            return await self._wait(asker, subject, seconds)
        finally:
            self._guests[guest] -= 1
            if not self._guests[guest]:
                del self._guests[guest]

    async def send(self, asker: Asker, request: Request, seconds: float) -> Unknown | None:
        """Hand over content or statistics, within `seconds`; None where the service has taken them."""

        async def send() -> None:
            await self._service.send(request, seconds)

        return await self._alone(asker, request, send)

    async def watch(self, asker: Asker, request: Request, seconds: float) -> Changes | Unknown:
        """Wait up to `seconds` for what a service tells of changes.

        It counts for the quota and stands in the ledger like any request, but tells the breaker nothing: the
        service is asked to take its time. While others leave it alone, so does this.
        """
        told = Changes(0)

        async def wait() -> None:
            nonlocal told
            told = await self._service.changes(request, seconds)

        return await self._alone(asker, request, wait, patient=True) or told

    def withdraw(self, scope: int) -> None:
        """End what is under way for a tenant; who waits is told. The caller lets nobody ask any more."""
        for key, flight in list(self._flights.items()):
            if key[0] == scope:
                self._drop(key, flight)
        for task, whose in list(self._sendings.items()):
            if whose == scope:
                task.cancel()

    async def close(self) -> None:
        """End everything that is under way, and the service's connections."""
        flights = list(self._flights.items())
        for key, flight in flights:
            self._drop(key, flight)
        sendings = list(self._sendings)
        for task in sendings:
            task.cancel()
        await asyncio.gather(*(flight.task for _, flight in flights), *sendings, return_exceptions=True)
        await self._service.close()

    async def _wait(self, asker: Asker, subject: Subject, seconds: float) -> Outcome:
        key = (asker.scope, asker.mode, subject)
        flight = self._flights.get(key) or self._start(key, asker, subject)
        flight.waiting += 1
        try:
            done, _ = await asyncio.wait({flight.task}, timeout=seconds)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.sent:
                self._drop(key, flight)
        if not done:
            return Unknown(Trouble.TIMED_OUT, f"{self._service.name} did not answer in {seconds:.2f} s")
        if flight.task.cancelled():
            return _WITHDRAWN
        outcome: Outcome = flight.task.result()
        return outcome

    def _start(self, key: _Key, asker: Asker, subject: Subject) -> _Flight:
        flight = self._flights[key] = _Flight()
        flight.task = asyncio.get_running_loop().create_task(self._fly(flight, asker, subject))
        flight.task.add_done_callback(lambda _: self._drop(key, flight))
        return flight

    def _drop(self, key: _Key, flight: _Flight) -> None:
        """Take a flight out, and end it where it has not ended yet."""
        flight.task.cancel()
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _fly(self, flight: _Flight, asker: Asker, subject: Subject) -> Outcome:
        """The life of one request; raises nothing but cancellation."""
        try:
            async with self._slots:
                return await self._guarded(flight, asker, subject)
        except ReputationError as error:
            return Unknown(error.trouble, str(error))
        except Exception as error:  # a fault of this program must not fail a scan
            return Unknown(Trouble.FAULT, f"asking {self._service.name} failed ({type(error).__name__})")

    async def _alone(
        self, asker: Asker, request: Request, exchange: Exchange, patient: bool = False
    ) -> Unknown | None:
        """Do something for one tenant that nobody shares, until it is withdrawn; None when it was done."""
        flight = _Flight()
        task = asyncio.get_running_loop().create_task(self._carry(flight, asker, request, exchange, patient))
        self._sendings[task] = asker.scope
        task.add_done_callback(lambda task: self._sendings.pop(task, None))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        return _WITHDRAWN if task.cancelled() else task.result()

    async def _carry(
        self, flight: _Flight, asker: Asker, request: Request, exchange: Exchange, patient: bool
    ) -> Unknown | None:
        """The life of that; raises nothing but cancellation."""
        name = self._service.name
        if request.call not in self._service.capabilities:
            return Unknown(Trouble.NOT_OFFERED, f"{name} does not take {request.call}")
        try:
            async with nullcontext() if patient else self._slots:
                said = await self._through(flight, asker, request, exchange, patient)
                return said if isinstance(said, Unknown) else None
        except ReputationError as error:
            return Unknown(error.trouble, str(error))
        except Exception as error:
            return Unknown(Trouble.FAULT, f"{request.call} with {name} failed ({type(error).__name__})")

    async def _guarded(self, flight: _Flight, asker: Asker, subject: Subject) -> Outcome:
        """Ask if breaker and quota let it through, and have the answer told."""
        if subject.call not in self._service.capabilities:
            return Unknown(Trouble.NOT_OFFERED, f"{self._service.name} does not answer about {subject.call}")
        request = request_for(subject, asker.mode)
        answer = await self._through(
            flight, asker, request, lambda: self._service.ask(request, self._terms.longest_seconds)
        )
        assert answer is not None
        if isinstance(answer, Answer):
            self.on_answer(asker, subject, answer)
        return answer

    async def _through(
        self,
        flight: _Flight,
        asker: Asker,
        request: Request,
        exchange: Exchange,
        patient: bool = False,
    ) -> Answer | Unknown | None:
        """Send a request if breaker and quota let it through, and tell both how it went.

        patient: how it went tells nothing of the service.
        """
        if not self.allows(asker):
            return _WITHDRAWN
        name = self._service.name
        permit = None if patient else self._breaker.begin()
        if permit is None and (not patient or self._breaker.state is State.OPEN):
            why = "it refused the credentials" if self._breaker.refused else "it failed lately"
            return Unknown(Trouble.PAUSED, f"{name} is left alone: {why}")
        end = End.ABANDONED
        try:
            if not self._quota.take():
                wait = self._quota.seconds_to_room()
                return Unknown(Trouble.QUOTA, f"the quota of {name} is spent: there is room in {wait:.0f} s")
            recorded = await self._record(Disclosure(name, asker, request))
            if isinstance(recorded, Unknown):
                return recorded
            if not self.allows(asker):
                self._ledger.after(recorded, CANCELLED)
                return _WITHDRAWN
            flight.sent = True
            permit = self._breaker.sending(permit) if permit is not None else None
            end = End.FAILED  # also where the driver breaks its word and raises something else
            reply = await self._noted(recorded, exchange)
            end = End.SERVED
            self._quota.served()
            return reply
        except ReputationError as error:
            end = END_BY_TROUBLE.get(error.trouble, End.SERVED)
            if error.trouble is Trouble.QUOTA:
                self._quota.spent()
            raise
        except asyncio.CancelledError:
            end = End.ABANDONED
            raise
        finally:
            if permit is not None:
                # How long a content is on its way says nothing of the service.
                self._breaker.end(self._breaker.sending(permit) if request.part else permit, end)

    async def _record(self, disclosure: Disclosure) -> int | Unknown:
        """Have it written down; its number when that is done, and the request may go out."""
        number = None
        try:
            number = await self._ledger.before(disclosure)
            return number
        except Exception as error:
            return Unknown(
                Trouble.NOT_RECORDED, f"nothing was sent: the ledger failed ({type(error).__name__})"
            )
        finally:
            if number is None:
                self._quota.give_back()

    async def _noted(self, number: int, exchange: Exchange) -> Answer | None:
        """Do what was written down, and have noted how it ended, whatever that is."""
        result = Trouble.FAULT.value
        try:
            reply = await exchange()
            result = reply.zone.value if isinstance(reply, Answer) else TAKEN
            return reply
        except ReputationError as error:
            result = error.trouble.value
            raise
        except asyncio.CancelledError:
            result = CANCELLED
            raise
        finally:
            self._ledger.after(number, result)
