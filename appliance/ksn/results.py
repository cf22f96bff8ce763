"""Asks what became of content that was handed over: a service that did not know it may have found something.

A few times, further and further apart, through the same gate, ledger and quota as everything else; what it
says goes the way of every answer. What waits is held in memory, within a bound, and lost when the SVM stops:
whoever brings the content again then has it asked about by its digest.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from appliance.domain.guest import Guest
from appliance.domain.policy import Mode
from appliance.ksn.asker import Asker, Standing, Unknown
from appliance.ksn.participation import Participants
from appliance.ksn.reputation import Answer, Call, Subject, Trouble
from appliance.ksn.zones import RULINGS

WAITS: Final = (60.0, 600.0, 3600.0)  # seconds before each time that it is asked
MOST_WAITING: Final = 1024
_IDLE_SECONDS: Final = 1.0
_BUDGET: Final = 3600.0  # seconds: a request's own bound is what counts


class Asks(Protocol):
    """What a question is put to. `asking.Asking` is it."""

    async def ask(self, asker: Asker, subject: Subject, budget: float) -> Answer | Unknown:
        """Return what the service says, or why it says nothing."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Content that was handed over. due: when it is asked about. times: how often it was already."""

    guest: Guest
    digest: bytes
    due: float
    times: int = 0


class Results:
    """Lives on one event loop. counts: results that were asked for, and that decided something."""

    def __init__(self, asking: Asks, participants: Participants, clock: Callable[[], float]) -> None:
        """clock: seconds, never going back."""
        self.counts = {"asked": 0, "decided": 0}
        self.asked_by_scope: Counter[int] = Counter()
        self._asking = asking
        self._participants = participants
        self._clock = clock
        self._waiting: tuple[deque[_Waiting], ...] = tuple(deque() for _ in WAITS)  # each in order of `due`

    def __len__(self) -> int:
        """How many are waited for."""
        return sum(map(len, self._waiting))

    def sent(self, guest: Guest, digest: bytes) -> None:
        """Take note of content that the service took."""
        if len(self) < MOST_WAITING:
            self._waiting[0].append(_Waiting(guest, digest, self._clock() + WAITS[0]))

    def withdraw(self, scope: int) -> None:
        """Ask no more for a tenant that takes part no more, or on other terms."""
        for waiting in self._waiting:
            kept = [each for each in waiting if each.guest.scope != scope]
            waiting.clear()
            waiting.extend(kept)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            if not await self.ask_next():
                await asyncio.sleep(_IDLE_SECONDS)

    async def ask_next(self) -> bool:
        """Ask about what is due, if anything is; whether anything was."""
        now = self._clock()
        due = next((waiting for waiting in self._waiting if waiting and waiting[0].due <= now), None)
        if due is None:
            return False
        one = due.popleft()
        asker = self._participants.asker(one.guest, Standing.CONTENT)
        if asker is None or asker.mode < Mode.EXTENDED:
            return True
        self.counts["asked"] += 1
        self.asked_by_scope[one.guest.scope] += 1
        outcome = await self._asking.ask(asker, Subject(Call.RESULT, one.digest.hex()), _BUDGET)
        if isinstance(outcome, Unknown):
            again = outcome.why is not Trouble.NOT_OFFERED
        else:
            again = RULINGS[outcome.zone].disposition is None
            self.counts["decided"] += not again
        times = one.times + 1
        if again and times < len(WAITS):
            self._waiting[times].append(replace(one, times=times, due=self._clock() + WAITS[times]))
        return True
