"""The use case: a digest is looked up; what nobody knows is asked for once, scanned once, kept for all.

    known()  what the cache and the administrator's overrides say of a batch, inline
    ask()    joins the single flight of an unknown digest: this caller sends the content, or waits
    scan()   verified content goes to the engines; the verdict is stored and every waiter told

Nothing here waits for a guest: content comes in through rpc, which alone talks to guests, and answers
go out through the Waiters of the single flight.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from appliance.domain.content import ContentLabel
from appliance.domain.guest import PUBLIC_SCOPE, Guest
from appliance.domain.outcome import Disposition, Source, Unanswered
from appliance.domain.override import Override
from appliance.domain.verdict import Answer, NoAnswer, Verdict
from appliance.scanning.result import ScanResult
from appliance.scanning.scanner import Scanner
from appliance.scanning.spool import SpoolFile
from appliance.verdicts.judged import Judged
from appliance.verdicts.single_flight import Flights, Waiter
from appliance.verdicts.store import VerdictStore

_LOOK_CLOSER = 254  # of a record that is damaged, has ended or is notable: the batch is read in full
_MOST_JUDGED = 4096
MISS = 0  # not a number of the wire: the digest is unknown, or known of another generation only
_REMEMBERED = 1024  # overrides taken back, for guests that were away; others heal by valid_for
_HOUR = 3600
_DAY = 24 * _HOUR

Key = tuple[int, bytes]  # scope and digest


@dataclass(frozen=True, slots=True)
class Ageing:
    """How long verdicts count and how long their writes may wait."""

    not_detected_seconds: float = 30 * _DAY
    commit_seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a batch.

    outcomes: one number for each digest, MISS where content is needed; misses: how many are that.
    notable: by index, the verdicts that say more than their outcome.
    """

    outcomes: list[int]
    misses: int
    notable: dict[int, Verdict]


class Protection:
    """Answers digests and contents for all guests. Lives on one event loop."""

    def __init__(
        self,
        store: VerdictStore,
        flights: Flights,
        scanner: Scanner,
        clock: Callable[[], float],
        ageing: Ageing,
    ) -> None:
        """clock: seconds since the epoch."""
        self.flights = flights
        self.counts = {"digests": 0, "hits": 0, "overridden": 0, "contents": 0, "content_bytes": 0}
        self.ends: dict[str, int] = {}
        self._store = store
        self._scanner = scanner
        self._clock = clock
        self._ageing = ageing
        self._overrides: dict[bytes, Override] = {}
        self._ends: list[tuple[int, bytes]] = []  # heap: when an override ends, if it was not replaced before
        self._taken_back: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._scans: set[Key] = set()
        self._no_scans = asyncio.Event()
        self._no_scans.set()
        self._judged = Judged(self._outcome_of, MISS)
        self._judged_in = (0, 0)  # generation and hour
        self._commit: asyncio.TimerHandle | None = None

    @property
    def generation(self) -> int:
        """The generation that verdicts are made with now."""
        return self._scanner.generation

    # -- what is known -----------------------------------------------------------------------

    def known(self, guest: Guest, digests: Sequence[bytes]) -> Known:
        """What the cache says of each digest. Runs inline: little more than the reading itself.

        A cache holds few distinct records, so each is judged once. A digest of a wrong length is a MISS.
        """
        outcomes = self._store.judgements(guest.scope, digests, self._judgements())
        notable: dict[int, Verdict] = {}
        if not self._store.is_empty(PUBLIC_SCOPE) or _LOOK_CLOSER in outcomes:
            outcomes, notable = self._known_in_full(guest, digests)
        if self._overrides:
            self._apply_overrides(digests, outcomes, notable)
        misses = outcomes.count(MISS)
        self.counts["digests"] += len(outcomes)
        self.counts["hits"] += len(outcomes) - misses
        return Known(outcomes, misses, notable)

    def _known_in_full(self, guest: Guest, digests: Sequence[bytes]) -> tuple[list[int], dict[int, Verdict]]:
        """The same with public entries, and with the verdicts that say more than their outcome."""
        verdicts = self._lookup(guest.scope, digests)
        outcomes = list(map(self._judge, verdicts))
        notable = {
            index: verdict
            for index, verdict in enumerate(verdicts)
            if verdict is not None and outcomes[index] != MISS and _is_notable(verdict)
        }
        return outcomes, notable

    def _judgements(self) -> Judged:
        """What records mean in the generation and the hour that it is."""
        present = (self.generation, int(self._clock() // _HOUR))
        if self._judged_in != present or len(self._judged) > _MOST_JUDGED:
            self._judged = Judged(self._outcome_of, MISS)
            self._judged_in = present
        return self._judged

    def _outcome_of(self, data: bytes) -> int:
        """The outcome of a record where that is all there is to say, else _LOOK_CLOSER."""
        verdict = self._store.decode(data)
        return _LOOK_CLOSER if verdict is None or _is_notable(verdict) else self._judge(verdict)

    def is_current(self, verdict: Verdict) -> bool:
        """Whether the verdict still answers a question."""
        return self._judge(verdict) != MISS

    def stored(self, scope: int, digest: bytes) -> Verdict | None:
        """The cache's own entry, of whatever generation, without overrides."""
        return self._lookup(scope, [digest])[0]

    def _lookup(self, scope: int, digests: Sequence[bytes]) -> list[Verdict | None]:
        """Public entries win over the tenant's, except that a detection of either counts."""
        verdicts = self._store.lookup(scope, digests)
        if self._store.is_empty(PUBLIC_SCOPE):
            return verdicts
        public = self._store.lookup(PUBLIC_SCOPE, digests)
        return [
            theirs if ours is None or (theirs is not None and theirs.disposition < ours.disposition) else ours
            for ours, theirs in zip(public, verdicts, strict=True)
        ]

    def _judge(self, verdict: Verdict | None) -> int:
        """The outcome to answer with, MISS where engines of another generation spoke."""
        if verdict is None:
            return MISS
        if verdict.source is Source.ENGINE and verdict.generation != self._scanner.generation:
            return MISS
        return int(verdict.disposition)

    # -- an administrator's word ---------------------------------------------------------------

    def load_overrides(self, overrides: dict[bytes, Override]) -> None:
        """Take over the overrides that state holds."""
        self._overrides = dict(overrides)
        ends = [(override.expires_at, digest) for digest, override in overrides.items()]
        self._ends = [end for end in ends if end[0]]
        heapq.heapify(self._ends)

    def override(self, digest: bytes, override: Override | None) -> None:
        """Put an override in force, or (None) end it; who waits for the digest is answered at once."""
        if override is None:
            self._overrides.pop(digest, None)
            self._taken_back.append(digest)
            return
        self._overrides[digest] = override
        if override.expires_at:
            heapq.heappush(self._ends, (override.expires_at, digest))
        for key in self.flights.keys_of(digest):
            self.flights.settle(key, _overriding(override))

    def end_overrides(self) -> list[bytes]:
        """Drop overrides whose time is over; the digests, of which guests may keep answers."""
        now, ended = self._clock(), []
        while self._ends and self._ends[0][0] <= now:
            _, digest = heapq.heappop(self._ends)
            override = self._overrides.get(digest)
            if override is not None and not override.in_force(now):
                self.override(digest, None)
                ended.append(digest)
        return ended

    def first_end(self, answers: Iterable[Answer]) -> float | None:
        """How many seconds until the first override among the answers ends; None where none does."""
        ends = [
            answer.expires_at
            for answer in answers
            if isinstance(answer, Verdict) and answer.source is Source.OVERRIDE and answer.expires_at
        ]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def overridden_digests(self) -> set[bytes]:
        """Digests of which a guest may keep an answer that an administrator has overruled since."""
        return {*self._overrides, *self._taken_back}

    def overriding(self, digest: bytes) -> Override | None:
        """The override in force for the digest."""
        override = self._overrides.get(digest)
        return override if override is not None and override.in_force(self._clock()) else None

    def forget(self, digest: bytes, scopes: Sequence[int]) -> bool:
        """Drop the verdicts of a digest; whether there was one."""
        found = [scope for scope in scopes if self._store.lookup(scope, [digest])[0] is not None]
        for scope in found:
            self._store.delete(scope, digest)
        self._store.flush()
        return bool(found)

    def _apply_overrides(
        self, digests: Sequence[bytes], outcomes: list[int], notable: dict[int, Verdict]
    ) -> None:
        overridden = self._overrides.keys() & set(digests)
        if not overridden:
            return
        for index, digest in enumerate(digests):
            override = self.overriding(digest) if digest in overridden else None
            if override is not None:
                notable[index] = _overriding(override)
                outcomes[index] = int(notable[index].disposition)
                self.counts["overridden"] += 1

    # -- what is not ---------------------------------------------------------------------------

    def ask(self, guest: Guest, digest: bytes, waiter: Waiter, token: int) -> int | None:
        """Join the digest's single flight: a lease when this guest is to send the content, else None."""
        return self.flights.join((guest.scope, digest), waiter, token)

    def scan(self, key: Key, content: SpoolFile, name: bytes) -> None:
        """Have verified content looked at, the verdict stored, and all told who wait for it.

        Takes over `content`. It is not scanned where it is under scan already, or where nobody waits for
        it any more, now or when its turn comes: they were answered meanwhile, or have left.
        """
        self.flights.scanning(key)
        if key in self._scans or not self.flights.is_open(key):
            content.close()
            return
        self.counts["contents"] += 1
        self.counts["content_bytes"] += content.size
        self._scans.add(key)
        self._no_scans.clear()
        self._look(key, content, name)

    def _look(self, key: Key, content: SpoolFile, name: bytes) -> None:
        """Give content to the engines."""
        label = ContentLabel(key[1], content.size, name)
        scan = self._scanner.scan(content.fd, label, content.guest_id, lambda: self.flights.is_open(key))
        scan.add_done_callback(lambda done: self._looked(key, content, name, done.result()))

    async def finish_scans(self) -> None:
        """Return when no content is with the engines."""
        await self._no_scans.wait()

    def _looked(self, key: Key, content: SpoolFile, name: bytes, result: ScanResult) -> None:
        """Take what engines say; where nothing was found and they are others by now, these look too.

        Somebody may have asked since the new ones are in use, and is promised their word.
        """
        outdated = result.generation != self.generation and not result.detections
        if outdated and result.no_answer is None and self.flights.is_open(key):
            self._look(key, content, name)
        else:
            self._scanned(key, content, result)

    def _scanned(self, key: Key, content: SpoolFile, result: ScanResult) -> None:
        answer: Answer = NoAnswer(Unanswered.ENGINE_ERROR, "the scan was cut short")
        try:
            answer = self._conclude(key, result)
        finally:
            content.close()
            self._scans.discard(key)
            self.flights.settle(key, answer)
            if not self._scans:
                self._no_scans.set()

    def _conclude(self, key: Key, result: ScanResult) -> Answer:
        """Turn a scan's result into a verdict and store it, or into the reason why there is none."""
        if result.no_answer is not None and not result.detections:
            self._count(result.no_answer.why.name)
            before = self.stored(*key)
            # An older detection stands until engines have really looked again.
            return before if before is not None and _is_detection(before) else result.no_answer
        now = self._clock()
        hour = int(now // _HOUR) * _HOUR
        if result.detections:
            worst = result.detections[0]
            verdict = Verdict(
                worst.disposition,
                Source.ENGINE,
                result.generation,
                hour,
                threat=worst.threat,
                engine=worst.engine,
                member=worst.member,
            )
        else:
            expires = hour + int(self._ageing.not_detected_seconds)
            verdict = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, result.generation, hour, expires)
        self._count(verdict.disposition.name)
        self._store.put(*key, verdict)
        if self._commit is None:
            self._commit = asyncio.get_running_loop().call_later(self._ageing.commit_seconds, self.commit)
        override = self.overriding(key[1])
        return verdict if override is None else _overriding(override)

    def commit(self) -> None:
        """Write the verdicts that wait to be written."""
        if self._commit is not None:
            self._commit.cancel()
            self._commit = None
        self._store.flush()

    def _count(self, end: str) -> None:
        self.ends[end] = self.ends.get(end, 0) + 1


def _is_detection(verdict: Verdict) -> bool:
    return verdict.disposition in (Disposition.MALICIOUS, Disposition.SUSPICIOUS)


def _is_notable(verdict: Verdict) -> bool:
    """Whether a verdict says more than its outcome."""
    return _is_detection(verdict) or bool(verdict.category)


def _overriding(override: Override) -> Verdict:
    if override.allow:
        return Verdict(Disposition.CLEAN, Source.OVERRIDE, 0, override.set_at, override.expires_at)
    return Verdict(
        Disposition.MALICIOUS,
        Source.OVERRIDE,
        0,
        override.set_at,
        override.expires_at,
        threat="Blocked.By.Administrator",
        engine="override",
    )
