"""The disclosure ledger as requests meet it: written down before anything leaves, many at a time.

A request waits until its entry is on the disk. Whoever comes while a group of entries is being written is in
the next group: one transaction for all of them, in a thread, so that neither the loop nor a guest's quick
question waits for the disk. How a request ended is a second entry, for which nobody waits: it goes with
the next group, or when `flush` is called.

    {"kind": "request", at, tenant, guest, type, mode, statement, service, call, fields: {name: value}}
    {"kind": "result", at, of: the number of the request, result}
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from appliance.ksn.asker import Disclosure
from appliance.ksn.statement import disclosed

MOST_WAITING: Final = 1024  # requests that wait for the disk
REQUEST: Final = "request"
RESULT: Final = "result"
NOT_SENT: Final = "cancelled before it was sent"  # the result of an entry for which nobody waited any more


class LedgerFailed(Exception):
    """It was not written down, so it must not be sent; the message says why."""


class LedgerWriter(Protocol):
    """What keeps entries. `appliance.state.ledger.LedgerStore` is it."""

    def append(self, payloads: Sequence[Mapping[str, Any]]) -> int:
        """Append all or none, and return the number of the first; the others follow. Raises where it cannot.

        Durable when it returns; called in a thread, one call at a time.
        """


class _Waiting:
    """A request that is not yet written down, and who waits for its number."""

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.payload = payload
        self.number: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class DisclosureLedger:
    """Implements `asker.Ledger`. Lives on one event loop.

    entries: written since it was made. failing: why the last group was not written, "" where it was.
    """

    def __init__(self, writer: LedgerWriter, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self.entries = 0
        self.failing = ""
        self._writer = writer
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._results: list[Mapping[str, Any]] = []
        self._writing: asyncio.Task[None] | None = None
        self._closed = False

    async def before(self, disclosure: Disclosure) -> int:
        """Write down what is about to leave; durable when this returns its number.

        Raises LedgerFailed, after which nothing may be sent. Whoever is cancelled here sends nothing either;
        where the entry was written all the same, a result says so.
        """
        at, part = self._clock(), disclosure.request.part
        # Content is hashed, which takes a while where it is large.
        entry = _entry(disclosure, at) if part is None else await asyncio.to_thread(_entry, disclosure, at)
        if self._closed:
            raise LedgerFailed("the ledger is closed: the SVM is stopping")
        if len(self._waiting) >= MOST_WAITING:
            raise LedgerFailed(f"{MOST_WAITING:,} requests wait for the ledger already: its disk is too slow")
        waiting = _Waiting(entry)
        self._waiting.append(waiting)
        self._start()
        number = waiting.number
        try:
            return await number
        except asyncio.CancelledError:
            if number.done() and not number.cancelled() and number.exception() is None:
                self.after(number.result(), NOT_SENT)
            raise

    def after(self, number: int, result: str) -> None:
        """Note how request `number` ended. Does not wait: it is written with the next group or by `flush`."""
        self._results.append({"kind": RESULT, "at": self._clock(), "of": number, "result": result})

    async def flush(self) -> None:
        """Write all that waits. Raises LedgerFailed where that fails: results are kept, and tried again."""
        if self._writing is not None and not self._writing.done():
            await asyncio.shield(self._writing)
        if self._results:
            await asyncio.shield(self._start())
        if self._results and self.failing:
            raise LedgerFailed(self.failing)

    async def close(self) -> None:
        """Take no more requests and write all that waits; where that fails, `failing` says why.

        To be called when `Asking` is closed, so that how its last requests ended is written as well.
        """
        self._closed = True
        try:
            await self.flush()
        except LedgerFailed:
            return

    def _start(self) -> asyncio.Task[None]:
        """Return the task that writes, which is begun where there is none."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_groups())
        return self._writing

    async def _write_groups(self) -> None:
        """Write group after group until nobody waits; raises nothing but cancellation."""
        while True:
            waiting = [each for each in self._waiting if not each.number.cancelled()]
            results = self._results
            self._waiting, self._results = [], []
            await self._write(results, waiting)
            if not self._waiting:
                return

    async def _write(self, results: list[Mapping[str, Any]], waiting: list[_Waiting]) -> None:
        payloads = [*results, *(each.payload for each in waiting)]
        if not payloads:
            return
        try:
            first = await asyncio.to_thread(self._writer.append, payloads)
        except Exception as error:
            self.failing = str(error) or type(error).__name__
            self._results = results + self._results
            for each in waiting:
                if not each.number.done():
                    each.number.set_exception(LedgerFailed(self.failing))
            return
        self.failing = ""
        self.entries += len(payloads)
        for number, each in enumerate(waiting, first + len(results)):
            if each.number.cancelled():
                self.after(number, NOT_SENT)
            else:
                each.number.set_result(number)


def _entry(disclosure: Disclosure, at: float) -> dict[str, Any]:
    asker, request = disclosure.asker, disclosure.request
    return {
        "kind": REQUEST,
        "at": at,
        "tenant": asker.tenant,
        "guest": asker.guest,
        "type": asker.type.value,
        "mode": request.mode.name.lower(),
        "statement": asker.statement,
        "service": disclosure.service,
        "call": request.call.value,
        "fields": disclosed(request),
    }
