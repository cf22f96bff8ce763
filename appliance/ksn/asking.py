"""Asks a reputation service without ever being in the way.

A caller gives its budget, and has an answer or a reason for none within a slice of it, whatever the service
does. In front of the service stand, in this order: a bound on what each guest may have open, the single
flight of each subject (of one tenant: what another asks is neither seen nor felt), a bound on requests under
way, for which guests take turns, the circuit breaker, the quota, of which each guest has a share, and the
disclosure ledger: where it fails, nothing is sent, and of what was sent it is told how it ended.

A request that has gone out runs to its own end, whoever still waits: what was disclosed is worth its answer,
and a guest that gives it no time says nothing about the service. One that has not gone out ends with the last
who waits. When consent is withdrawn, `withdraw` ends all of the tenant's: none goes out after it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from appliance.domain.policy import Mode
from appliance.ksn.asker import Asker, Ledger, Unknown
from appliance.ksn.breaker import END_BY_TROUBLE, Breaker, End, Permit, State
from appliance.ksn.quota import AskingTerms, Quota
from appliance.ksn.recorded import WITHDRAWN, Exchange, Recorded
from appliance.ksn.reputation import (
    BESIDE_QUESTIONS,
    Answer,
    Call,
    Changes,
    ReputationError,
    ReputationService,
    Request,
    Subject,
    Trouble,
)
from appliance.ksn.statement import request_for
from appliance.ksn.turns import Turns

Outcome = Answer | Unknown
_Key = tuple[int, Mode, Subject]

_REFUSED = (
    "{} refuses the provider's credentials: put an API key in force into ksn.api_key_file, then "
    "`svm signatures reload`; without that it is tried again in {:.0f} min"
)
_OVER_SHARE = "this guest has used its share of the {}'s quota: what is left of it is for others"


class _Flight:
    """A subject that is asked about. waiting: how many wait. sent: whether the request has gone out.

    permit: the breaker's leave for it, if it needs one.
    """

    task: asyncio.Task[Any]
    waiting = 0
    sent = False
    permit: Permit | None = None


class Asking:
    """Asks one service on behalf of all tenants.

    on_answer: told every answer that comes, whether or not somebody still waits for it. allows: the gate,
    which is asked again right before anything goes out. over_share: questions that were not asked since
    their guest had used its share of the quota.
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
        self.over_share = 0
        self._service = service
        self._breaker = breaker
        self._quota = quota
        self._recorded = Recorded(service.name, ledger)
        self._terms = terms
        self._turns = Turns(terms.under_way)
        self._flights: dict[_Key, _Flight] = {}
        self._sendings: dict[asyncio.Task[Any], int] = {}  # what is done for one tenant alone
        self._open: Counter[str] = Counter()  # questions, by who pays

    @property
    def under_way(self) -> int:
        """Subjects that are asked about now."""
        return len(self._flights)

    def has_room(self, asker: Asker) -> bool:
        """Whether a question of this guest would go out now, as far as that can be told without trying.

        Where his share alone is in the way, it is counted.
        """
        payer = asker.payer
        if self._open[payer] >= self._terms.per_guest or self._breaker.state is State.OPEN:
            return False
        return not self._quota.is_full(payer) and self._over_share(asker) is None

    def has_room_behind(self, asker: Asker) -> bool:
        """Whether what is in no hurry may go out now: nobody waits for his turn, and there is room."""
        if self._turns.waiting or self._breaker.state is State.OPEN:
            return False
        return not self._quota.is_full(asker.payer) and not self._quota.over_share(asker.payer)

    def ask_again(self, changed: bool) -> bool:
        """Ask a service anew that refused the credentials, or that others were set for; whether it is.

        changed: whether others were. One that is left alone for another reason stays so.
        """
        anew = changed or self._breaker.refused
        if anew:
            self._breaker.credentials_changed()
        return anew

    def try_now(self) -> None:
        """Let the next question find out whether a service does well again that is left alone."""
        self._breaker.try_now()

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

    def trouble(self, asker: Asker | None = None, call: Call = Call.HASH) -> Unknown | None:
        """Why nothing would go out now, whoever asks, or for this one; None where something would.

        call: what would; what is handed over may be turned away where questions are answered.
        """
        name = self.service_name
        if self._breaker.state is State.OPEN:
            if self._breaker.refused:
                return Unknown(Trouble.REFUSED, _REFUSED.format(name, self._breaker.seconds_to_try() / 60))
            return Unknown(Trouble.PAUSED, f"{name} failed lately and is left alone for a while")
        away, wait = self._turned_away(call), self._quota.seconds_to_room()
        if away is not None or wait:
            return away or self._spent(wait)
        return None if asker is None else self.trouble_of(asker)

    def trouble_of(self, asker: Asker) -> Unknown | None:
        """Why no question of this guest would go out, where others' would; None where his would, too."""
        over = self._quota.over_share(asker.payer)
        return Unknown(Trouble.QUOTA, _OVER_SHARE.format(over)) if over else None

    def _spent(self, wait: float) -> Unknown:
        return Unknown(Trouble.QUOTA, f"the quota is spent: there is room in {wait:.0f} s")

    def _turned_away(self, call: Call) -> Unknown | None:
        """Why a call does not go out that the service turned away a while ago."""
        wait = self._quota.seconds_turned_away(call)
        what = f"turns {call} away for now" if call in BESIDE_QUESTIONS else "says that the quota is spent"
        said = f"{self.service_name} {what}: it is tried again in {wait:.0f} s"
        return Unknown(Trouble.QUOTA, said) if wait else None

    def _over_share(self, asker: Asker) -> Unknown | None:
        """As `trouble_of`, and counted."""
        found = self.trouble_of(asker)
        self.over_share += found is not None
        return found

    async def ask(self, asker: Asker, subject: Subject, budget: float) -> Outcome:
        """Return what the service says, or why it says nothing, within the share of `budget` seconds.

        Raises nothing but the caller's own cancellation.
        """
        return await self.ask_within(asker, subject, self.slice_of(budget))

    async def ask_within(self, asker: Asker, subject: Subject, seconds: float) -> Outcome:
        """As `ask`, within `seconds` of a slice that the caller has taken itself, for several questions."""
        if not seconds >= self._terms.shortest_seconds:  # so that a budget which is no number is none
            return Unknown(Trouble.TIMED_OUT, "too little time is left to ask KSN")
        payer = asker.payer
        if self._open[payer] >= self._terms.per_guest:
            return Unknown(Trouble.BUSY, f"{asker.guest} has {self._terms.per_guest} questions open with KSN")
        over = self._over_share(asker)
        if over is not None:  # so that nobody joins a question which will not be sent
            return over
        self._open[payer] += 1
        try:
            return await self._wait(asker, subject, seconds)
        finally:
            self._open[payer] -= 1
            if not self._open[payer]:
                del self._open[payer]

    async def send(self, asker: Asker, request: Request, seconds: float) -> Unknown | None:
        """Hand over content or statistics, within `seconds`; None where the service has taken them."""

        async def send() -> None:
            await self._service.send(request, seconds)

        return await self._alone(asker, request, send)

    async def watch(self, asker: Asker, request: Request, seconds: float) -> Changes | Unknown:
        """Wait up to `seconds` for what a service tells of changes.

        It stands in the ledger like any request. It is not of the quota, which is for questions, and tells
        the breaker nothing: the service is asked to take its time. It goes out also while others leave a
        service alone that failed, to hear at once when that does well again; not where the credentials were
        refused. How often it is called is the caller's affair.
        """
        told = Changes(0)

        async def wait() -> None:
            nonlocal told
            told = await self._service.changes(request, seconds)

        return await self._alone(asker, request, wait) or told

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
            return WITHDRAWN
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
            async with self._turns.turn(asker.payer):
                return await self._guarded(flight, asker, subject)
        except ReputationError as error:
            return Unknown(error.trouble, str(error))
        except Exception as error:  # a fault of this program must not fail a scan
            return Unknown(Trouble.FAULT, f"asking {self._service.name} failed ({type(error).__name__})")

    async def _alone(self, asker: Asker, request: Request, exchange: Exchange) -> Unknown | None:
        """Do something for one tenant that nobody shares, until it is withdrawn; None when it was done."""
        flight = _Flight()
        task = asyncio.get_running_loop().create_task(self._carry(flight, asker, request, exchange))
        self._sendings[task] = asker.scope
        task.add_done_callback(lambda task: self._sendings.pop(task, None))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        return WITHDRAWN if task.cancelled() else task.result()

    async def _carry(
        self, flight: _Flight, asker: Asker, request: Request, exchange: Exchange
    ) -> Unknown | None:
        """The life of that; raises nothing but cancellation."""
        name = self._service.name
        if request.call not in self._service.capabilities:
            return Unknown(Trouble.NOT_OFFERED, f"{name} does not take {request.call}")
        try:
            async with nullcontext() if _is_patient(request) else self._turns.turn(asker.payer):
                said = await self._through(flight, asker, request, exchange)
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
        self, flight: _Flight, asker: Asker, request: Request, exchange: Exchange
    ) -> Answer | Unknown | None:
        """Send a request if breaker and quota let it through, and tell both how it went."""
        why_not = self._why_not(asker, request)
        if why_not is not None:
            return why_not
        if _is_patient(request):
            return await self._recorded.exchange(asker, request, exchange, lambda: self.allows(asker))
        flight.permit = self._breaker.begin()
        if flight.permit is None:
            return self._left_alone()
        end = End.ABANDONED
        try:
            if not self._quota.take(asker.payer):
                return self._over_share(asker) or self._spent(self._quota.seconds_to_room(asker.payer))
            reply = await self._exchange(flight, asker, request, exchange)
            if flight.sent:
                end = End.SERVED
                self._quota.served(request.call)
            return reply
        except ReputationError as error:
            end = END_BY_TROUBLE.get(error.trouble, End.SERVED)
            if error.trouble in {Trouble.QUOTA, Trouble.NOT_OFFERED}:  # the latter of what is no question
                self._quota.spent(request.call)
            raise
        except Exception:  # the driver breaks its word
            end = End.FAILED
            raise
        finally:
            # How long a content is on its way says nothing of the service.
            permit = self._breaker.sending(flight.permit) if request.part else flight.permit
            self._breaker.end(permit, end)

    async def _exchange(
        self, flight: _Flight, asker: Asker, request: Request, exchange: Exchange
    ) -> Answer | Unknown | None:
        """Do what the quota has been taken for; it is given back where nothing was sent."""

        def may_go() -> bool:
            flight.sent = self.allows(asker)
            if flight.permit is not None:
                flight.permit = self._breaker.sending(flight.permit)
            return flight.sent

        try:
            return await self._recorded.exchange(asker, request, exchange, may_go)
        finally:
            if not flight.sent:
                self._quota.give_back(asker.payer)

    def _why_not(self, asker: Asker, request: Request) -> Unknown | None:
        """Why a request does not go out, as far as that is known before it takes part of the quota."""
        if not self.allows(asker):
            return WITHDRAWN
        if _is_patient(request):
            refused = self._breaker.refused and self._breaker.state is State.OPEN
            return self._left_alone() if refused else None
        return self._turned_away(request.call)

    def _left_alone(self) -> Unknown:
        why = "it refused the credentials" if self._breaker.refused else "it failed lately"
        return Unknown(Trouble.PAUSED, f"{self._service.name} is left alone: {why}")


def _is_patient(request: Request) -> bool:
    """Whether it waits at the service: it is not of the quota, and how it went tells the breaker nothing."""
    return request.call is Call.CHANGES
