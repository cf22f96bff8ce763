"""Hands over content for analysis, in extended mode: what was scanned here and KSN does not know.

A content is offered when its scan is over, while it is still at hand. Whether it is wanted is decided at
once, by rules: the engines' own verdict, the kind by the first bytes, the size, the budget of the day. No
document is wanted of a tenant that did not allow it, or where the provider does not. What
is wanted is held in memory within a bound, a whole file as a descriptor of its own on the same sealed memory,
of a larger one a copy of its beginning, and sent in the background, one at a time. Just before, it is asked
again whether the tenant takes part and how, and whether with documents. No digest is sent twice within a
day, nor while it is remembered.

A scan neither waits for any of this nor fails by it. While the service is left alone or the quota is spent,
what is held waits; not for good, and is then dropped.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from appliance.domain.guest import Guest
from appliance.domain.outcome import Source
from appliance.domain.policy import Mode
from appliance.domain.verdict import NoAnswer, Verdict
from appliance.ksn.asker import Asker, Standing, Unknown
from appliance.ksn.kinds import HEAD_BYTES, Kind, kind_of
from appliance.ksn.participation import Participants
from appliance.ksn.quota import DAY
from appliance.ksn.reputation import Call, Part, Request, Trouble
from appliance.ksn.spent import Spent
from appliance.ksn.statement import submission

MOST_REMEMBERED: Final = 32_768  # digests of which it is remembered that they were sent
HELD_BYTES: Final = 64 << 20  # of all contents that wait, or of one that is larger
_CHUNK: Final = 1 << 20  # read at a time, so that nobody waits for a large content to be copied
# Ends after which it is certain that nothing has left.
_UNSENT = (Trouble.NOT_ALLOWED, Trouble.PAUSED, Trouble.NOT_RECORDED)


class Sender(Protocol):
    """What hands over a request. `asking.Asking` is it."""

    def trouble(self, asker: Asker | None = None, call: Call = Call.HASH) -> Unknown | None:
        """Why nothing would go out now, for whomever or for this one; None where such a call would."""

    async def send(self, asker: Asker, request: Request, seconds: float) -> Unknown | None:
        """Hand it over, within `seconds`; None where the service took it."""


@dataclass(frozen=True, slots=True)
class SubmitTerms:
    """What is handed over, and how much of it; `config.SubmitSettings` says it in the provider's words.

    part_bytes: of a file that is larger than max_file_bytes. daily_bytes, daily_files: in any 24 hours, all
    tenants together. queue: contents that wait. seconds: that one may take. retry_seconds: until a service
    that is left alone is looked at again; wait_seconds: until what waits for that is dropped.
    """

    after_detection: bool = True
    unknown_executables: bool = True
    max_file_bytes: int = 32 << 20
    part_bytes: int = 1 << 20
    daily_bytes: int = 100 << 20
    daily_files: int = 200
    queue: int = 64
    seconds: float = 120.0
    retry_seconds: float = 15.0
    wait_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class Scanned:
    """A content whose scan is over.

    fd: of a memory file that nobody can change any more; the caller's, and used during `offer` only.
    answer: what the scan came to, an administrator's override included.
    """

    guest: Guest
    digest: bytes
    size: int
    fd: int
    answer: Verdict | NoAnswer


@dataclass(eq=False, slots=True)
class Taken:
    """A part of the day's budget."""

    at: float
    length: int


class DailyBudget:
    """At most so many files and bytes in any 24 hours."""

    def __init__(self, files: int, size: int, clock: Callable[[], float]) -> None:
        """clock: seconds, never going back."""
        self._files = files
        self._bytes = size
        self._clock = clock
        self._taken: deque[Taken] = deque()
        self._used = 0

    def restore(self, age: float, length: int) -> None:
        """Count a file that was handed over `age` seconds ago, by an earlier run; the oldest first."""
        self._taken.append(Taken(self._clock() - age, length))
        self._used += length

    def take(self, length: int) -> Taken | None:
        """Count a file of so many bytes, or return None where there is no room for it."""
        now = self._clock()
        while self._taken and self._taken[0].at + DAY <= now:
            self._used -= self._taken.popleft().length
        if len(self._taken) >= self._files or self._used + length > self._bytes:
            return None
        self._taken.append(Taken(now, length))
        self._used += length
        return self._taken[-1]

    def give_back(self, taken: Taken) -> None:
        """Uncount a file that was not sent after all."""
        if taken in self._taken:
            self._taken.remove(taken)
            self._used -= taken.length


@dataclass(eq=False, slots=True)
class _Held:
    """A content that waits. fd: its own, of what is to be sent. length: of that. dropped: not to be sent.

    document: whether it is one, and may leave as such only.
    """

    guest: Guest
    digest: bytes
    length: int
    fd: int
    taken: Taken
    document: bool
    dropped: bool = field(default=False)

    async def read(self) -> bytes:
        """Return what is to be sent, and let go of the descriptor. Raises OSError."""
        pieces = []
        for at in range(0, self.length, _CHUNK):
            pieces.append(os.pread(self.fd, min(_CHUNK, self.length - at), at))
            await asyncio.sleep(0)
        self.close()
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of the descriptor, if it is still held."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Submitter:
    """Decides, holds and sends. Lives on one event loop.

    counts: contents that were queued, sent (and their bytes), and that were not sent, by why. trouble: what
    is or was last in the way, a sentence for people, "" for nothing. on_sent: told what the service took.
    """

    def __init__(
        self,
        asking: Sender,
        participants: Participants,
        unknown: Callable[[int, bytes], bool],
        terms: SubmitTerms,
        clock: Callable[[], float],
    ) -> None:
        """unknown: whether KSN said to a scope that it does not know a digest. clock: never goes back."""
        self.counts = dict.fromkeys(
            ("queued", "sent", "sent_bytes", "over_budget", "no_room", "withdrawn", "failed"), 0
        )
        self.trouble = ""
        self.on_sent: Callable[[Guest, bytes], None] = lambda _guest, _digest: None
        self._asking = asking
        self._participants = participants
        self._unknown = unknown
        self._terms = terms
        self._clock = clock
        self._budget = DailyBudget(terms.daily_files, terms.daily_bytes, clock)
        self._queue: deque[_Held] = deque()
        self._current: _Held | None = None
        self._held_bytes = 0
        self._remembered: dict[bytes, None] = {}  # in the order of being queued
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Contents that wait, or are being sent."""
        return len(self._queue) + (self._current is not None)

    def offer(self, scanned: Scanned) -> None:
        """Take up a content if it is wanted. Does not wait, and raises nothing for what a content can be."""
        try:
            kind = None if self._closed else self._wanted(scanned)
            if kind is not None:
                self._hold(scanned, kind)
        except OSError as error:  # no descriptor or no memory to be had
            self._fail(f"a content could not be held: {error.strerror}")

    def restore(self, before: Iterable[Spent]) -> None:
        """Take into account what was sent in the last day, by earlier runs; the oldest first."""
        for spent in before:
            if spent.digest:
                self._budget.restore(spent.age, spent.length)
                self._remember(spent.digest)

    def withdraw(self, scope: int) -> None:
        """Drop what waits for a tenant that takes part no more, or on other terms."""
        for held in [held for held in self._queue if held.guest.scope == scope]:
            self._queue.remove(held)
            self._let_go(held)
            self._withdrawn(held)
        if self._current is not None and self._current.guest.scope == scope:
            self._current.dropped = True

    async def close(self) -> None:
        """Send no more, and drop what waits."""
        self._closed = True
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        while self._queue:
            self._let_go(self._queue.popleft())

    def _wanted(self, scanned: Scanned) -> Kind | None:
        """Return its kind where the rules, the tenant and what KSN said have it be sent. Raises OSError."""
        verdict, digest = scanned.answer, scanned.digest
        if not isinstance(verdict, Verdict) or verdict.source is not Source.ENGINE:
            return None  # also where an administrator has decided: then it is known, to him
        if self._asker(scanned.guest) is None or digest in self._remembered:
            return None
        if not self._unknown(scanned.guest.scope, digest):
            return None  # known there, or not asked, and nothing is handed over unasked
        terms, found = self._terms, verdict.disposition.is_detection
        if not (terms.after_detection if found else terms.unknown_executables):
            return None
        kind = kind_of(os.pread(scanned.fd, HEAD_BYTES, 0))
        if kind is Kind.DOCUMENT and found and self._asker(scanned.guest, document=True) is not None:
            return kind
        return kind if kind is Kind.EXECUTABLE else None

    def _asker(self, guest: Guest, document: bool = False) -> Asker | None:
        """On whose behalf a content is handed over, or a document; None where it may not be."""
        asker = self._participants.asker(guest, Standing.CONTENT)
        if asker is None or asker.mode < Mode.EXTENDED or (document and not asker.documents):
            return None
        return asker

    def _hold(self, scanned: Scanned, kind: Kind) -> None:
        """Keep what is to be sent, where there is room and budget for it. Raises OSError."""
        terms, whole = self._terms, scanned.size <= self._terms.max_file_bytes
        length = scanned.size if whole else terms.part_bytes
        if not length:
            return
        if len(self._queue) >= terms.queue or (self._held_bytes and self._held_bytes + length > HELD_BYTES):
            self.counts["no_room"] += 1
            return
        taken = self._budget.take(length)
        if taken is None:
            self.counts["over_budget"] += 1
            return
        try:
            fd = os.dup(scanned.fd) if whole else _beginning(scanned.fd, length)
        except OSError:
            self._budget.give_back(taken)
            raise
        self._held_bytes += length
        document = kind is Kind.DOCUMENT
        self._queue.append(_Held(scanned.guest, scanned.digest, length, fd, taken, document))
        self.counts["queued"] += 1
        self._remember(scanned.digest)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send_all())

    def _remember(self, digest: bytes) -> None:
        self._remembered[digest] = None
        if len(self._remembered) > MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    async def _send_all(self) -> None:
        """Send one after the other until none waits; raises nothing but cancellation."""
        while self._queue:
            held = self._current = self._queue.popleft()
            try:
                await self._send(held)
            except Exception as error:  # of this program; the next one may fare better
                self._fail(f"a content could not be sent ({type(error).__name__})")
            finally:
                self._current = None
                self._let_go(held)

    async def _send(self, held: _Held) -> None:
        """Send one, unless its tenant does not want that any more by then."""
        if not await self._service_is_usable(held):
            self._not_sent(held)
            return
        data = await held.read()
        asker = None if held.dropped else self._asker(held.guest, held.document)
        if asker is None:
            self._withdrawn(held)
            return
        # From here on the withdrawal of consent is the sender's to see to.
        request = submission(Part(held.digest, 0, data), asker.mode)
        said = await self._asking.send(asker, request, self._terms.seconds)
        if said is None:
            self.counts["sent"] += 1
            self.counts["sent_bytes"] += held.length
            self.on_sent(held.guest, held.digest)
            self.trouble = ""
        elif said.why is Trouble.WITHDRAWN:
            self.counts["withdrawn"] += 1
        else:
            self.trouble = said.reason
            self._not_sent(held, certainly=said.why in _UNSENT)

    async def _service_is_usable(self, held: _Held) -> bool:
        """Wait until something would go out, as long as it is worth waiting; not for one that is dropped."""
        asker = self._asker(held.guest)
        while not held.dropped and (trouble := self._asking.trouble(asker, Call.SUBMIT)) is not None:
            self.trouble = trouble.reason
            if self._clock() - held.taken.at >= self._terms.wait_seconds:
                return False
            await asyncio.sleep(self._terms.retry_seconds)
        return True

    def _withdrawn(self, held: _Held) -> None:
        self.counts["withdrawn"] += 1
        self._forget(held)

    def _not_sent(self, held: _Held, certainly: bool = True) -> None:
        """Note a failure. certainly: whether it is certain that nothing has left."""
        self.counts["failed"] += 1
        if certainly:
            self._forget(held)

    def _forget(self, held: _Held) -> None:
        """Treat a content of which nothing has left as if it had not been queued."""
        self._budget.give_back(held.taken)
        self._remembered.pop(held.digest, None)

    def _fail(self, why: str) -> None:
        self.counts["failed"] += 1
        self.trouble = why

    def _let_go(self, held: _Held) -> None:
        held.close()
        self._held_bytes -= held.length


def _beginning(fd: int, length: int) -> int:
    """Return a new memory file with the first `length` bytes of another. Raises OSError."""
    copy = os.memfd_create("beginning", os.MFD_CLOEXEC)
    try:
        data = memoryview(os.pread(fd, length, 0))
        while data:
            data = data[os.write(copy, data) :]
    except OSError:
        os.close(copy)
        raise
    return copy
