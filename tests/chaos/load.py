"""Guests that ask and send, one that reports events, and an administrator; each until it is told to stop.

When the SVM is killed their streams break, which is no fault; that they wait longer than their budget is.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from lightagent.v1 import guest_pb2

from guest_stub.svm_link.link import SvmLink, SvmUnreachable
from guest_stub.svm_link.target import Svm
from guest_stub.svm_link.values import EventKind, GuestEvent, HelloLabels
from tests.chaos.book import Book, Change
from tests.chaos.broken import Broken
from tests.chaos.contents import CLEAN, MALICIOUS, NEEDED, PENDING, Content, new_content
from tests.chaos.people import People
from tests.chaos.serving import Serving
from tests.support import commands
from tests.support.identities import MACHINE
from tests.support.svm import RawGuest, StreamEnded, as_stream_ended, chunk, say
from tests.support.tls_guest import TlsGuest

BUDGET = 1.5  # seconds that a guest grants for an answer
SLACK = 15.0  # and what a machine may take that is busy with other things

_CHUNK = 128 << 10
_GONE = (StreamEnded, OSError, grpc.aio.AioRpcError, asyncio.InvalidStateError, SvmUnreachable)


@dataclass
class Load:
    """What works on an SVM now. ended: set when the round is over, or its SVM is dead."""

    people: People
    book: Book
    source: random.Random
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    dead: bool = False

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Let all of them work until the body ends, and wait until each has come to its end."""
        async with asyncio.TaskGroup() as group:
            for guest in self.people.guests:
                group.create_task(self._until_gone(self._guest(guest, random.Random(self.source.random()))))
            group.create_task(self._until_gone(self._reporter()))
            for officer in self.people.officers:
                officer.source = random.Random(self.source.random())
                group.create_task(officer.work(self.ended, lambda: self.dead))
            group.create_task(self._administrator(random.Random(self.source.random())))
            try:
                yield
            finally:
                self.ended.set()

    @property
    def serving(self) -> Serving:
        """What they work on."""
        return self.people.serving

    async def _until_gone(self, work: Awaitable[None]) -> None:
        """Do something until the SVM is gone; that it goes by itself is a fault."""
        try:
            await work
        except _GONE as error:
            if not self.dead:
                raise Broken(f"the SVM turned a guest away: {error!r}") from error

    async def _guest(self, identity: TlsGuest, source: random.Random) -> None:
        async with identity.connect(self.serving.address) as guest:
            await guest.say_hello()
            while not self.ended.is_set():
                contents = [self._choose(source) for _ in range(source.randint(1, 5))]
                await self._ask(guest, contents, source)

    def _choose(self, source: random.Random) -> Content:
        """Something that was asked about before, or something new."""
        if self.book.recent and source.random() < 0.4:
            return source.choice(self.book.recent)
        content = new_content(source)
        self.book.holds(content)
        return content

    async def _ask(self, guest: RawGuest, contents: Sequence[Content], source: random.Random) -> None:
        """Ask about contents, send what is wanted, and hear what becomes of each."""
        reply = await _within(guest.ask(*(content.digest for content in contents), budget=BUDGET))
        leases = {detail.index: detail.lease for detail in reply.details if detail.lease}
        for index, (content, outcome) in enumerate(zip(contents, reply.outcomes, strict=True)):
            self.book.told(content.digest, outcome)
            if outcome == NEEDED and index in leases:
                await self._send(guest, leases[index], content, source)
        for index, outcome in enumerate(reply.outcomes):
            if outcome == NEEDED or outcome > NEEDED:
                settled = await _within(guest.answer(reply.request_id, index))
                self.book.told(contents[index].digest, settled.outcome)

    async def _send(self, guest: RawGuest, lease: int, content: Content, source: random.Random) -> None:
        """Send a content; now and then only half of it, or another one under its name."""
        way, data = source.random(), content.data
        call = guest.stub.Scan(metadata=guest.metadata)
        await say(call, guest_pb2.ScanRequest(parts=[guest.header(lease, data)]))
        if way < 0.1:
            data = data[: len(data) // 2]
        elif way < 0.2:
            data = bytes(len(data))
        for start in range(0, len(data), _CHUNK):
            part = chunk(data[start : start + _CHUNK])
            await _within(say(call, guest_pb2.ScanRequest(parts=[part])))
        if way < 0.1:
            call.cancel()
            return
        await _within(say_no_more(call))
        with suppress(*(_GONE if way < 0.2 else ())), as_stream_ended():  # who lies is turned away
            await _within(call)

    async def _reporter(self) -> None:
        """Report events, one batch after another, and note what is said to be kept."""
        journal, number = os.urandom(16), 0
        heard = _Heard(self.book, journal)
        svm, labels = Svm(self.serving.target, self.people.proof), HelloLabels("chaos", machine=MACHINE)
        async with await SvmLink.open(svm, labels, SLACK, heard) as link:
            while not self.ended.is_set():
                first, number = number + 1, number + self.source.randint(1, 4)
                self.book.sent[journal.hex()] = number
                await link.send_events(
                    journal,
                    [
                        GuestEvent(each, EventKind.ACTION, 5.0, path=journal.hex().encode())
                        for each in range(first, number + 1)
                    ],
                )
                await _within(heard.told(number, self.ended))

    async def _administrator(self, source: random.Random) -> None:
        while not self.ended.is_set():
            change = self._change(source)
            self.book.asks(change)
            ran = await asyncio.to_thread(
                commands.svm, *_words(change), "--socket", f"{self.serving.directory}/admin.sock"
            )
            if ran.code == 0:
                self.book.acknowledged()
            elif self.dead:
                return
            else:
                raise Broken(f"a change was refused: {ran.err}")

    def _change(self, source: random.Random) -> Change:
        if source.random() < 0.2:
            documents = [change.value for change in self.book.changes if change.what == "policy documents"]
            return Change("policy documents", str(documents[-1:] != ["True"]))
        known = [bytes(digest) for digest, word in self.book.in_force().items() if word != "clear"]
        if known and source.random() < 0.3:
            return Change(source.choice(known).hex(), "clear")
        return Change(source.randbytes(32).hex(), source.choice(("allow", "block")))


class _Heard:
    """What a reporter is told; see LinkListener."""

    def __init__(self, book: Book, journal: bytes) -> None:
        self._book, self._journal = book, journal
        self._kept = 0
        self._changed = asyncio.Event()
        self._lost = ""

    async def told(self, number: int, ended: asyncio.Event) -> None:
        """Return when the events up to a number are kept. Raises SvmUnreachable where the SVM is gone."""
        while self._kept < number and not (self._lost and ended.is_set()):
            if self._lost:
                raise SvmUnreachable(self._lost)
            await self._changed.wait()
            self._changed.clear()

    def events_kept(self, journal: bytes, up_to: int) -> None:
        self._book.events_kept(journal.hex(), up_to)
        self._kept = up_to
        self._changed.set()

    def lost(self, why: str) -> None:
        self._lost = why
        self._changed.set()

    def generation_changed(self, generation: int) -> None:
        """Nothing hangs on it here."""

    def revoked(self, digests: list[bytes]) -> None:
        """Nothing hangs on it here."""

    def scan_told(self, told: object) -> None:
        """No scans are ordered."""


async def _within(work: Awaitable[Any]) -> Any:
    """Wait no longer than a guest's budget and the machine's slack. Raises Broken."""
    try:
        async with asyncio.timeout(BUDGET + SLACK):
            return await work
    except TimeoutError as error:
        raise Broken(f"a guest waited longer than its budget of {BUDGET} s, and {SLACK} s more") from error


async def say_no_more(call: Any) -> None:
    """End what is sent; a stream that has ended says so when it is read."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.done_writing()


def _words(change: Change) -> list[str]:
    if change.what == "policy documents":
        return ["policy", "change", "--documents", "yes" if change.value == "True" else "no"]
    if change.value == "clear":
        return ["verdicts", "clear", change.what, "--reason", "chaos"]
    return ["verdicts", "set", change.what, f"--{change.value}", "--reason", "chaos"]


async def told_after(people: People, book: Book, source: random.Random) -> None:
    """Ask a fresh SVM what it knows: what was overruled is, and nothing is said that is not true."""
    async with people.guests[0].connect(people.serving.address) as guest:
        await guest.say_hello()
        overruled = list(book.in_force().items())[-40:]
        some = source.sample(book.recent, min(20, len(book.recent)))
        digests = [digest for digest, _ in overruled] + [content.digest for content in some]
        if not digests:
            return
        reply = await guest.ask(*digests, budget=BUDGET)
        for (digest, word), outcome in zip(overruled, reply.outcomes, strict=False):
            right = {"allow": {CLEAN}, "block": {MALICIOUS}, "clear": {NEEDED, PENDING}}
            if outcome not in right[word]:
                raise Broken(f"{digest.hex()} was last told to {word}, and a guest is told {outcome}")
        for content, outcome in zip(some, list(reply.outcomes)[len(overruled) :], strict=True):
            book.told(content.digest, outcome)
