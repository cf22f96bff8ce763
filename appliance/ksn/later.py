"""Asks later about what was scanned while KSN gave no answer: what only KSN knows is then found after all.

A content in which the engines found nothing is noted when its scan is over, unless KSN has spoken, or the
question was one that it does not take. So nothing is done for it where a guest waits. When breaker and quota
have room again, and nobody waits for a turn, KSN is asked, one question after another, through the same gate
and ledger; what it says goes the way of every late answer. Users take turns here, too, and in a full memory
the oldest of whoever has most in it is dropped. All of it is lost when the SVM stops.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.domain.guest import Guest
from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import NoAnswer, Verdict
from appliance.ksn.asker import Asker, Standing, Unknown
from appliance.ksn.participation import Participants
from appliance.ksn.reputation import Answer, Call, Subject, Trouble

# Ends of a question after which it is of no use to ask again.
LASTING: Final = frozenset(
    {Trouble.BAD_QUERY, Trouble.TOO_LARGE, Trouble.NOT_OFFERED, Trouble.NOT_ALLOWED, Trouble.FAULT}
)
_BUDGET: Final = 3600.0  # seconds: a request's own bound is what counts

Key = tuple[int, bytes]  # scope and digest


class Asks(Protocol):
    """What a question is put to. `asking.Asking` is it."""

    def has_room_behind(self, asker: Asker) -> bool:
        """Whether something that is in no hurry may go out now."""

    async def ask(self, asker: Asker, subject: Subject, budget: float) -> Answer | Unknown:
        """Return what the service says, or why it says nothing."""


@dataclass(frozen=True, slots=True)
class LaterTerms:
    """most: digests that are remembered, also of those that are of no use to ask about.

    after_seconds, again_seconds: from the scan, or the last try, until a digest is asked about. pace_seconds:
    from one question to the next. idle_seconds: until it is looked again where nothing can be asked.
    """

    most: int = 32_768
    after_seconds: float = 10.0
    again_seconds: float = 60.0
    pace_seconds: float = 0.1
    idle_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class _Noted:
    """On whose behalf a digest is asked about, and not before when."""

    guest_id: str
    due: float


class Later:
    """What is to be asked about later. Lives on one event loop.

    counts: digests that were noted, asked about and answered, and that were dropped for want of room.
    """

    def __init__(
        self,
        asking: Asks,
        participants: Participants,
        open_still: Callable[[int, bytes], bool],
        clock: Callable[[], float],
        terms: LaterTerms | None = None,
    ) -> None:
        """open_still: whether KSN has not spoken of a digest in a scope, and nobody has found anything.

        clock: seconds, never going back.
        """
        self.counts = {"noted": 0, "asked": 0, "answered": 0, "dropped": 0}
        self.asked_by_scope: Counter[int] = Counter()
        self._asking = asking
        self._participants = participants
        self._open_still = open_still
        self._clock = clock
        self._terms = terms or LaterTerms()
        self._by_payer: dict[str, dict[Key, _Noted]] = {}  # none is empty; whose turn it is comes first
        self._payers: dict[Key, str] = {}
        self._useless: dict[Key, None] = {}  # in the order of being learnt

    def __len__(self) -> int:
        """How many wait to be asked about."""
        return len(self._payers)

    def scanned(self, guest: Guest, digest: bytes, answer: Verdict | NoAnswer) -> None:
        """Note a content whose scan is over, if KSN is to be asked about it. Does not wait."""
        key = (guest.scope, digest)
        if not isinstance(answer, Verdict) or answer.source is not Source.ENGINE:
            return
        if answer.disposition is not Disposition.NOT_DETECTED or key in self._payers or key in self._useless:
            return
        asker = self._participants.asker(guest)
        if asker is not None and self._open_still(*key):
            self.counts["noted"] += 1
            self._put(key, asker.payer, _Noted(guest.id, self._clock() + self._terms.after_seconds))

    def unanswered(self, scope: int, digest: bytes, why: Trouble) -> None:
        """Take note of a question that got no answer."""
        if why in LASTING:
            self._useless[scope, digest] = None
            if len(self._useless) > self._terms.most:
                del self._useless[next(iter(self._useless))]

    def answered(self, asker: Asker, subject: Subject, _answer: Answer) -> None:
        """Forget a digest about which KSN has spoken, whoever had asked."""
        if subject.call is Call.HASH:
            self._take_out((asker.scope, bytes.fromhex(subject.value)))

    def withdraw(self, scope: int) -> None:
        """Forget what waits for a tenant that takes part no more."""
        if not self._participants.takes_part(scope):
            for key in [key for key in self._payers if key[0] == scope]:
                self._take_out(key)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            seconds = await self.ask_next()
            await asyncio.sleep(seconds)

    async def ask_next(self) -> float:
        """Ask about the next digest, if that may be now; seconds until it is of use to call this again."""
        found = self._next()
        if found is None:
            return self._terms.idle_seconds
        key, noted = found
        asker = self._participants.asker(Guest(noted.guest_id, key[0]), Standing.LATER)
        if asker is None or not self._open_still(*key):
            self._take_out(key)
            return 0.0
        if not self._asking.has_room_behind(asker):
            return self._terms.idle_seconds
        payer = self._take_out(key)
        self._turn_to_the_next(payer)
        self.counts["asked"] += 1
        self.asked_by_scope[key[0]] += 1
        outcome = await self._asking.ask(asker, Subject(Call.HASH, key[1].hex()), _BUDGET)
        if isinstance(outcome, Answer):
            self.counts["answered"] += 1
        elif outcome.why in LASTING:
            self.unanswered(*key, outcome.why)
        elif outcome.why is not Trouble.WITHDRAWN:
            self._put(key, payer, _Noted(noted.guest_id, self._clock() + self._terms.again_seconds))
        return self._terms.pace_seconds

    def _next(self) -> tuple[Key, _Noted] | None:
        """The oldest of the payer whose turn it is, of those whose oldest is due."""
        now = self._clock()
        for waiting in self._by_payer.values():
            key, noted = next(iter(waiting.items()))
            if noted.due <= now:
                return key, noted
        return None

    def _turn_to_the_next(self, payer: str) -> None:
        """Put a payer behind all others."""
        waiting = self._by_payer.pop(payer, None)
        if waiting is not None:
            self._by_payer[payer] = waiting

    def _put(self, key: Key, payer: str, noted: _Noted) -> None:
        """Keep one as the last of its payer; where there is no room, one is dropped."""
        self._take_out(key)
        self._by_payer.setdefault(payer, {})[key] = noted
        self._payers[key] = payer
        if len(self._payers) > self._terms.most:
            fullest = max(self._by_payer.values(), key=len)
            self._take_out(next(iter(fullest)))
            self.counts["dropped"] += 1

    def _take_out(self, key: Key) -> str:
        """Take one out, where it is in; whose it was."""
        payer = self._payers.pop(key, "")
        if payer:
            waiting = self._by_payer[payer]
            del waiting[key]
            if not waiting:
                del self._by_payer[payer]
        return payer
