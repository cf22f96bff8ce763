"""The use case: a digest is looked up; what nobody knows is asked for once, scanned once, kept for all.

    known()  what the cache and the administrator's overrides say of a batch, inline
    ask()    joins the single flight of an unknown digest: KSN is asked first, on behalf of those who take
             part; then this caller sends the content, or waits
    scan()   verified content goes to the engines; the verdict is stored and every waiter told

Nothing here waits for a guest: content comes in through rpc, which alone talks to guests, and answers
go out through the Waiters of the single flight.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from appliance.domain.content import ContentLabel
from appliance.domain.generation import told
from appliance.domain.guest import KSN_SHARED_SCOPE, PUBLIC_SCOPE, Guest
from appliance.domain.outcome import Disposition, Source, Unanswered
from appliance.domain.override import Override
from appliance.domain.participation import Reputation
from appliance.domain.tenants import EVERYBODY, Realm
from appliance.domain.verdict import (
    Ageing,
    Answer,
    Known,
    NoAnswer,
    Verdict,
    is_flip,
    is_notable,
    merged,
    tells_of_threat,
)
from appliance.scanning.result import ScanResult, verdict_of
from appliance.scanning.scanner import Scanner
from appliance.scanning.spool import SpoolFile
from appliance.verdicts.judged import Judged
from appliance.verdicts.overriding import Overrides, overriding
from appliance.verdicts.single_flight import Flights, Waiter
from appliance.verdicts.store import VerdictStore

_LOOK_CLOSER = 254  # of a record that is damaged, has ended or is notable: the batch is read in full
_MOST_JUDGED = 4096
MISS = 0  # not a number of the wire: the digest is unknown, or known of another generation only
_REMEMBERED = 16_384  # changes, for guests that were away; others heal by valid_for
_HOUR = 3600
_COUNTS = ("digests", "hits", "detected", "overridden", "contents", "content_bytes")

Key = tuple[int, bytes]  # scope and digest


class Protection:
    """Answers digests and contents for all guests. Lives on one event loop.

    counts: since the start, of all guests; counts_by_scope: the same for each tenant.
    reputation: asked before content is, where there is one. on_changed: called with a scope and a digest
    of which guests may keep an answer that does not count any more, and whether a guest may be one of them.
    on_scanned: called with a content whose scan is over and what came of it, before the content is closed;
    it must not wait, and may raise. on_told: called when a guest is told of a detection.
    """

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
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.counts_by_scope: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.ends: Counter[str] = Counter()
        self._store = store
        self._scanner = scanner
        self._clock = clock
        self._ageing = ageing
        self.overrides = Overrides(clock)
        self._scans: dict[Key, asyncio.Future[ScanResult] | None] = {}
        self._no_scans = asyncio.Event()
        self._no_scans.set()
        self.reputation: Reputation | None = None
        self.on_changed: list[Callable[[int, bytes, Callable[[Guest], bool]], None]] = []
        self.on_scanned: list[Callable[[Key, SpoolFile, Answer], None]] = []
        self.on_told: list[Callable[[Guest, bytes, Verdict], None]] = []
        self._changes: deque[Key] = deque(maxlen=_REMEMBERED)  # of KSN's word
        self._judged: dict[bool, Judged] = {}  # by whether the asker takes part in KSN
        self._judged_in = (0, 0, 0)  # generation, KSN's epoch and hour
        self._commit: asyncio.TimerHandle | None = None

    @property
    def generation(self) -> int:
        """The generation that verdicts are made with now."""
        return self._scanner.generation

    def told_generation(self, generation: int = 0) -> int:
        """A generation as guests know it, or that in use."""
        return told(generation or self.generation, self._epoch())

    def known(self, guest: Guest, digests: Sequence[bytes]) -> Known:
        """What the cache says of each digest; a wrong length is a MISS. Inline: hardly more than reading."""
        known, overridden = self._looked_up(guest, digests)
        detected = sum(map(tells_of_threat, known.notable.values())) if known.notable else 0
        for counts in (self.counts, self.counts_by_scope[guest.scope]):
            counts["digests"] += len(known.outcomes)
            counts["hits"] += len(known.outcomes) - known.misses
            counts["detected"] += detected
            counts["overridden"] += overridden
        return known

    def known_by_now(self, guest: Guest, digests: Sequence[bytes]) -> Known:
        """The same of digests that were looked up a moment ago, and are counted already."""
        return self._looked_up(guest, digests)[0]

    def _looked_up(self, guest: Guest, digests: Sequence[bytes]) -> tuple[Known, int]:
        """What is known, and in how many cases by an override."""
        takes_part = self.takes_part(guest.scope)
        outcomes = self._store.judgements(guest.scope, digests, self._judgements(takes_part))
        notable: dict[int, Verdict] = {}
        overridden = 0
        elsewhere = not self._store.is_empty(PUBLIC_SCOPE) or (takes_part and self.shares)
        if elsewhere or _LOOK_CLOSER in outcomes:
            outcomes, notable = self._known_in_full(guest, digests, takes_part)
        if self.overrides:
            overridden = self.overrides.apply(guest.scope, digests, outcomes, notable)
        return Known(outcomes, outcomes.count(MISS), notable), overridden

    def _known_in_full(
        self, guest: Guest, digests: Sequence[bytes], takes_part: bool
    ) -> tuple[list[int], dict[int, Verdict]]:
        """The same with entries of other scopes, and with the verdicts that say more than their outcome."""
        verdicts = self._lookup(guest.scope, digests, takes_part)
        outcomes = [self._judge(verdict, takes_part) for verdict in verdicts]
        hits = (each for each in enumerate(verdicts) if outcomes[each[0]] != MISS)
        return outcomes, {at: verdict for at, verdict in hits if verdict is not None and is_notable(verdict)}

    def _judgements(self, takes_part: bool) -> Judged:
        """What records mean in the generation and the hour that it is."""
        present = (self.generation, self._epoch(), int(self._clock() // _HOUR))
        judged = self._judged.get(takes_part)
        if judged is None or self._judged_in != present or len(judged) > _MOST_JUDGED:
            self._judged = {
                each: Judged(partial(self._outcome_of, takes_part=each), MISS) for each in (False, True)
            }
            self._judged_in = present
        return self._judged[takes_part]

    def _outcome_of(self, data: bytes, takes_part: bool) -> int:
        """The outcome of a record where that is all there is to say, else _LOOK_CLOSER."""
        verdict = self._store.decode(data)
        return _LOOK_CLOSER if verdict is None or is_notable(verdict) else self._judge(verdict, takes_part)

    def told(self, guest: Guest, digest: bytes, verdict: Verdict) -> None:
        """Note that a guest is being told of a detection."""
        for listener in self.on_told:
            listener(guest, digest, verdict)

    def is_current(self, verdict: Verdict) -> bool:
        """Whether the verdict still answers a question."""
        return self._judge(verdict, takes_part=True) != MISS

    def _own(self, key: Key) -> Verdict | None:
        """The entry that a scope may see, of whatever generation, without overrides."""
        takes_part = self.takes_part(key[0])
        verdict = self._lookup(key[0], [key[1]], takes_part)[0]
        return None if verdict is None or (verdict.source is Source.KSN and not takes_part) else verdict

    def _lookup(self, scope: int, digests: Sequence[bytes], takes_part: bool) -> list[Verdict | None]:
        """Public entries win over the tenant's, and those over shared ones; but a detection of any counts."""
        verdicts = self._store.lookup(scope, digests)
        if takes_part and self.shares:
            current = [verdict if self._judge(verdict, takes_part) != MISS else None for verdict in verdicts]
            shared = merged(current, self._store.lookup(KSN_SHARED_SCOPE, digests))
            verdicts = [new or old for new, old in zip(shared, verdicts, strict=True)]
        if self._store.is_empty(PUBLIC_SCOPE):
            return verdicts
        return merged(self._store.lookup(PUBLIC_SCOPE, digests), verdicts)

    def _epoch(self) -> int:
        return 0 if self.reputation is None else self.reputation.epoch

    def takes_part(self, scope: int) -> bool:
        """Whether KSN's answers may be seen in a scope."""
        return self.reputation is not None and self.reputation.takes_part(scope)

    @property
    def shares(self) -> bool:
        """Whether there may be answers that those who take part in KSN see of each other."""
        shared = self.reputation is not None and self.reputation.shared
        return shared and not self._store.is_empty(KSN_SHARED_SCOPE)

    def _judge(self, verdict: Verdict | None, takes_part: bool) -> int:
        """The outcome to answer with; MISS for KSN's word to others, and where other engines spoke."""
        if verdict is None:
            return MISS
        if verdict.source is Source.KSN and (not takes_part or verdict.generation != self._epoch()):
            return MISS
        if verdict.source is Source.ENGINE and verdict.generation != self._scanner.generation:
            return MISS
        return int(verdict.disposition)

    def found_nothing(self, scope: int, digest: bytes) -> bool:
        """Whether no more is known of a digest in a scope than that engines found nothing."""
        own = self._own((scope, digest))
        if own is None or own.source is not Source.ENGINE or self.overrides.answer(scope, digest) is not None:
            return False
        return self._judge(own, takes_part=True) == Disposition.NOT_DETECTED

    # -- an administrator's word ---------------------------------------------------------------

    def override(self, digest: bytes, override: Override | None, realm: Realm = EVERYBODY) -> None:
        """Put an override in force, or (None) end it; who waits for the digest is answered at once."""
        self.overrides.put(realm.scope, digest, override)
        if override is not None:
            for key in self.flights.keys_of(digest):
                if realm.is_everybody or key[0] == realm.scope:
                    self._settle(key, self.overrides.answer(*key) or overriding(override))

    def forget(self, digest: bytes, scopes: Sequence[int]) -> bool:
        """Drop the verdicts of a digest; whether there was one."""
        found = [scope for scope in scopes if self._store.lookup(scope, [digest])[0] is not None]
        for scope in found:
            self._store.delete(scope, digest)
        self._store.flush()
        return bool(found)

    # -- what is not ---------------------------------------------------------------------------

    def ask(self, guest: Guest, digest: bytes, waiter: Waiter, token: int, budget: float = 0.0) -> int | None:
        """Join the digest's single flight: a lease when this guest is to send the content, else None.

        budget: seconds that the asker has, of which KSN may take a share.
        """
        key, reputation = (guest.scope, digest), self.reputation
        hold = self.flights.hold_of(key)
        if reputation is None or self.flights.is_open(key) or not reputation.would_ask(guest, digest):
            if reputation is not None and hold:  # nobody waits longer for KSN than his own budget allows
                loop = asyncio.get_running_loop()
                loop.call_later(reputation.slice_of(budget), self.flights.release, key, hold)
            return self.flights.join(key, waiter, token)
        self.flights.join(key, waiter, token, hold=True)
        done = partial(self.flights.release, key, self.flights.hold_of(key))
        reputation.ask(guest, digest, budget, done)
        return None

    def hurry(self, guest: Guest, digest: bytes) -> None:
        """Have what this guest asked about go before what nobody's open waits for."""
        self.flights.hurry((guest.scope, digest))
        if scan := self._scans.get((guest.scope, digest)):
            self._scanner.hurry(scan)

    def learned(self, scope: int, digest: bytes, verdict: Verdict) -> None:
        """Keep what KSN said for a scope, and tell who waits, or keeps another answer."""
        participants = self.reputation.scopes() if self.reputation is not None else ()
        seen_in = [scope, *(participants if scope == KSN_SHARED_SCOPE else ())]
        kept = [self._store.lookup(where, [digest])[0] for where in seen_in]
        self._store.put(scope, digest, verdict)
        self._commit_soon()
        for key in self.flights.keys_of(digest):
            if self._sees(key[0], scope):
                self._settle(key, self.overrides.answer(*key) or verdict)
        others = [old for old in kept if old is not None and old.disposition is not verdict.disposition]
        # One of other signatures answers nobody any more, but the file still lies in the guests.
        if any(is_flip(old, verdict) or self.is_current(old) for old in others):
            self._changed(scope, digest)

    def flipped(self, scopes: Iterable[int], digest: bytes, verdict: Verdict | None) -> None:
        """Take over what KSN says now of a digest, where something is kept of it. None: nothing any more."""
        for scope in scopes:
            before = self._store.lookup(scope, [digest])[0]
            if before is None:
                continue
            if verdict is not None:
                self.learned(scope, digest, verdict)
            elif before.source is Source.KSN:
                self._store.delete(scope, digest)
                self._changed(scope, digest)

    def void_digests(self, scope: int) -> set[bytes]:
        """Digests of which a guest that was away may keep an answer that counts no more."""
        changed = {digest for where, digest in self._changes if self._sees(scope, where)}
        return self.overrides.digests(scope) | changed

    def _settle(self, key: Key, answer: Answer) -> None:
        """Answer all who wait, each of whom is told once."""
        self._count(key[0], "detected", self.flights.settle(key, answer) * tells_of_threat(answer))

    def _count(self, scope: int, what: str, more: int) -> None:
        self.counts[what] += more
        self.counts_by_scope[scope][what] += more

    def _sees(self, scope: int, where: int) -> bool:
        """Whether KSN's answers of one scope are seen in another."""
        return scope == where or (where == KSN_SHARED_SCOPE and self.takes_part(scope))

    def restore_change(self, scope: int, digest: bytes) -> None:
        """Take over what was told as changed before a restart; public: an override of the provider's."""
        if scope == PUBLIC_SCOPE:
            self.overrides.restore(digest)
        else:
            self._changes.append((scope, digest))

    def _changed(self, scope: int, digest: bytes) -> None:
        self.commit()  # who hears of it finds it, after kill -9 as well
        self._changes.append((scope, digest))
        for changed in self.on_changed:
            changed(scope, digest, lambda guest: self._sees(guest.scope, scope))

    def scan(self, key: Key, content: SpoolFile, name: bytes) -> None:
        """Have verified content looked at, the verdict stored, and all told who wait for it.

        Takes over `content`. It is not scanned where it is under scan already, or where nobody waits for
        it any more, now or when its turn comes: they were answered meanwhile, or have left.
        """
        self.flights.scanning(key)
        if key in self._scans or not self.flights.is_open(key):
            content.close()
            return
        self._count(key[0], "contents", 1)
        self._count(key[0], "content_bytes", content.size)
        self._scans[key] = None
        self._no_scans.clear()
        self._look(key, content, name)

    def _look(self, key: Key, content: SpoolFile, name: bytes) -> None:
        """Give content to the engines."""
        label = ContentLabel(key[1], content.size, name, key[0])
        wanted, urgent = partial(self.flights.is_open, key), self.flights.is_urgent(key)
        scan = self._scans[key] = self._scanner.scan(content.fd, label, content.owner, wanted, urgent)
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
            self._tell_scanned(key, content, answer)
        finally:
            content.close()
            self._scans.pop(key, None)
            self._settle(key, answer)
            if not self._scans:
                self._no_scans.set()

    def _tell_scanned(self, key: Key, content: SpoolFile, answer: Answer) -> None:
        for tell in self.on_scanned:
            with suppress(Exception):  # whatever others do with a content is no reason to fail its scan
                tell(key, content, answer)

    def _conclude(self, key: Key, result: ScanResult) -> Answer:
        """Turn a scan's result into a verdict and store it, or into the reason why there is none."""
        if result.no_answer is not None and not result.detections:
            self.ends[result.no_answer.why.name] += 1
            before = self._own(key)
            # An older detection stands until engines have really looked again.
            return before if before is not None and before.disposition.is_detection else result.no_answer
        verdict = verdict_of(result, self._clock(), self._ageing)
        self.ends[verdict.disposition.name] += 1
        if not self._knows_better(key, verdict):
            before = self._own(key)
            self._store.put(*key, verdict)
            self._commit_soon()
            if before is not None and is_flip(before, verdict):
                self._changed(*key)
        return self.overrides.answer(*key) or verdict

    def _knows_better(self, key: Key, verdict: Verdict) -> bool:
        """Whether KSN has answered while engines, which found nothing, were looking."""
        if verdict.disposition is not Disposition.NOT_DETECTED or not self.takes_part(key[0]):
            return False
        before = self._store.lookup(key[0], [key[1]])[0]
        return before is not None and before.source is Source.KSN and self.is_current(before)

    def _commit_soon(self) -> None:
        if self._commit is None:
            self._commit = asyncio.get_running_loop().call_later(self._ageing.commit_seconds, self.commit)

    def commit(self) -> None:
        """Write the verdicts that wait to be written."""
        if self._commit is not None:
            self._commit.cancel()
            self._commit = None
        self._store.flush()
