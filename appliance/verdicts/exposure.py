"""Which guests hold a digest, gathered beside the path of their questions.

A guest's batch costs it the joining of its digests. All else is done by one thread, which may wait for the
disk, and rests for most of the time, the more so while guests ask. What is more than the memory and the disk
are to take is dropped and counted; of a guest that asks without end more than of others.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import lmdb

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.policy import DEFAULT_TENANT
from appliance.verdicts.exposure_record import Holding
from appliance.verdicts.exposure_store import ExposureStore
from appliance.verdicts.known_guests import KnownGuest

SPILL_BYTES = 256 * 1024  # of one guest, with which it is written down at once
MOST_GATHERED = 2 * SPILL_BYTES  # of one guest, in memory
GATHER_SECONDS = 1.0
SLICE_SECONDS = 0.005  # of merging, after which the thread rests
REST_IDLE, REST_ASKED = 1, 24  # so many times as long: while nobody asks anything, and while guests do
FIRST_SECONDS = 5.0  # after the start, in which nothing is merged: guests come back, and are answered first
SWEEP_SECONDS = 10.0
SYNC_SECONDS = 60.0

_HOUR = 3600
_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")
_Taken = tuple[str, str, bytearray]  # guest, tenant, digests


@dataclass(frozen=True, slots=True)
class Holder:
    """A guest that holds a digest. first, last: seconds since the epoch; last is up to a day early."""

    guest: str
    first: int
    last: int
    tenant: str = DEFAULT_TENANT


class Gatherer:
    """What one attached guest asks about, until it is written down."""

    __slots__ = ("_filled", "_is_filled", "digests", "dropped", "tenant")

    def __init__(self, filled: Callable[[], None], tenant: str = DEFAULT_TENANT) -> None:
        """filled: called when there is so much that it should go on. tenant: whose guest it is."""
        self.tenant = tenant
        self.digests = bytearray()
        self.dropped = 0
        self._filled = filled
        self._is_filled = False

    def add(self, digests: Sequence[bytes]) -> None:
        """Take in a batch; digests of a wrong length are for the caller to keep away."""
        gathered = self.digests
        if len(gathered) >= MOST_GATHERED:
            self.dropped += len(digests)
            return
        gathered += b"".join(digests)
        if len(gathered) >= SPILL_BYTES and not self._is_filled:
            self._is_filled = True
            self._filled()

    def take(self) -> bytearray:
        """All that was gathered, which is forgotten here."""
        taken, self.digests, self._is_filled = self.digests, bytearray(), False
        return taken


class Exposure:
    """The exposure of an SVM. Lives on one event loop; `run` is to run there. problem: why it is not kept."""

    def __init__(self, store: ExposureStore, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self.problem = ""
        self.notice = store.notice
        self._store = store
        self._clock = clock
        self._dropped = 0
        self._attached: dict[str, Gatherer] = {}
        self._left: list[_Taken] = []  # of guests that went since it was written last
        self._filled = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "exposure")

    def attached(self, name: str, tenant: str = DEFAULT_TENANT) -> Gatherer:
        """A tenant's guest is here; what takes in the digests that it asks about."""
        self.detached(name)  # where it came anew
        gatherer = self._attached[name] = Gatherer(self._filled.set, tenant)
        return gatherer

    def detached(self, name: str) -> None:
        """It went."""
        gatherer = self._attached.pop(name, None)
        if gatherer is not None:
            self._left.append((name, gatherer.tenant, gatherer.take()))
            self._dropped += gatherer.dropped

    async def run(self) -> None:
        """Have what was gathered written and merged, until cancelled."""
        swept = synced = time.monotonic()
        merge_at = swept + FIRST_SECONDS
        short = more = False
        while True:
            taken = self._taken()
            asked = any(digests for _, _, digests in taken)
            pause = SLICE_SECONDS * (REST_ASKED if asked else REST_IDLE)
            await self._do(partial(self._spill, taken), None)
            if time.monotonic() >= merge_at:
                more = await self._do(self._merge, False)
                merge_at = time.monotonic() + pause
            now = time.monotonic()
            if short or now - swept >= SWEEP_SECONDS:
                swept = now
                short = await self._do(partial(self._sweep, set(self._attached)), False)
            if now - synced >= SYNC_SECONDS:
                synced = now
                await self._do(self._store.sync, None)
            await self._rested(pause if more or short else GATHER_SECONDS)

    async def holders(self, digest: bytes, tenant: str = "") -> list[Holder]:
        """Who holds a digest, the guest that was seen last first; what was asked this moment among it.

        tenant: whose guests are looked for, "" for all.
        """
        nobody: list[tuple[KnownGuest, Holding]] = []
        found = await self._do(partial(self._holders, self._taken(), digest), nobody)
        best: dict[str, Holder] = {}
        for guest, holding in found:
            if tenant not in ("", guest.tenant):
                continue
            before = best.get(guest.name, Holder("", holding.first * _HOUR, 0))
            first = min(holding.first * _HOUR, before.first)
            last = max(holding.last * _HOUR, before.last)
            best[guest.name] = Holder(guest.name, first, last, guest.tenant)
        return sorted(best.values(), key=lambda holder: (-holder.last, holder.guest))

    def guests(self, tenant: str = "") -> list[KnownGuest]:
        """Every guest of a tenant, or ("") of all, that is known; who was seen last first."""
        return self._store.guests.all(tenant)

    def guest(self, name: str) -> KnownGuest | None:
        """The guest of a name, None where none is known."""
        return self._store.guests.named(name)

    def tenant_of(self, name: str) -> str | None:
        """Whose guest one is that is, or was, here; None where there is none of the name."""
        guest = self._attached.get(name) or self._store.guests.named(name)
        return None if guest is None else guest.tenant

    async def files_of(self, name: str, tenant: str = "") -> AsyncIterator[list[tuple[bytes, int, int]]]:
        """Yield what a guest holds, some at a time: digest, first and last in seconds since the epoch.

        What was asked about just now comes within seconds, after very much at once within minutes.
        tenant: nothing where the guest is another's, "" for whosever it is.
        """
        after = b""
        while (guest := self._store.guests.named(name)) is not None and tenant in ("", guest.tenant):
            empty: tuple[list[tuple[bytes, Holding]], bytes] = ([], b"")
            found, after = await self._do(partial(self._store.files_of, guest, after), empty)
            if found:
                yield [(digest, holding.first * _HOUR, holding.last * _HOUR) for digest, holding in found]
            if not after:
                return

    async def close(self) -> None:
        """Write what was gathered, and close the file. `run` has ended."""
        for name in list(self._attached):
            self.detached(name)
        await self._do(partial(self._spill, self._taken()), None)
        await self._do(self._store.close, None)
        self._thread.shutdown()

    def figures(self) -> dict[str, float]:
        """Figures for metrics and status."""
        store, counts = self._store, self._store.counts
        gathering = sum(gatherer.dropped for gatherer in self._attached.values())
        return {
            "exposure_digests": store.entries,
            "exposure_used_bytes": store.used_bytes,
            "exposure_guests": len(store.guests),
            "exposure_waiting": store.waiting,
            "exposure_new": counts["new"],
            "exposure_dropped": counts["dropped"] + counts["over_guest_files"] + self._dropped + gathering,
            "exposure_aged_out": counts["aged_out"],
            "exposure_failing": bool(self.problem),
        }

    def _hour(self) -> int:
        return int(self._clock() // _HOUR)

    def _taken(self) -> list[_Taken]:
        """Take what was gathered, of whom; also of those who asked nothing, since they are here."""
        self._filled.clear()
        taken, self._left = self._left, []
        here = self._attached.items()
        return [*taken, *((name, gatherer.tenant, gatherer.take()) for name, gatherer in here)]

    async def _rested(self, seconds: float) -> None:
        """Wait, or less where guests ask so much meanwhile that it is to be written down before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._filled.wait()

    async def _do(self, work: Callable[[], _Done], otherwise: _Done) -> _Done:
        """Do something in the thread; what goes wrong there is noted, and the SVM serves on."""
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(self._thread, work)
            self.problem = ""
            return done
        except (lmdb.Error, OSError) as error:
            self.problem = f"who holds a file is not written down ({error}): free room on the disk"
            await loop.run_in_executor(self._thread, self._recover, error)
            return otherwise

    # -- in the thread -------------------------------------------------------------------------

    def _recover(self, error: lmdb.Error | OSError) -> None:
        try:
            if isinstance(error, lmdb.Error):
                self._store.recover(error, self._clock())
        except (OSError, lmdb.Error) as again:
            _log.error("the exposure cannot be opened again: %s", again)

    def _merge(self) -> bool:
        """Merge for a while; whether there is more to be merged."""
        end = time.monotonic() + SLICE_SECONDS
        while self._store.merge():
            if time.monotonic() >= end:
                return True
        return False

    def _spill(self, taken: list[_Taken]) -> None:
        hour, names = self._hour(), {name for name, _, _ in taken}
        sections = []
        for name, tenant, digests in taken:
            guest = self._store.guests.met(name, hour, names, tenant)
            if guest is None:
                self._dropped += len(digests) // DIGEST_BYTES
            elif digests:
                sections.append((guest.number, max(hour, guest.since), digests))
        self._store.spill(sections)

    def _sweep(self, attached: set[str]) -> bool:
        self._store.forget_guests(self._hour(), attached)
        return self._store.sweep(self._hour())

    def _holders(self, taken: list[_Taken], digest: bytes) -> list[tuple[KnownGuest, Holding]]:
        self._spill(taken)
        guests = self._store.guests
        named = ((guests.of_number(each.number, each.last), each) for each in self._store.holders(digest))
        return [(guest, each) for guest, each in named if guest is not None]
