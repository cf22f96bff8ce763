"""Which guests hold a digest, in the file exposure.lmdb; for one thread, which may wait for the disk.

    exposure  digest -> an `exposure_record`
    guests    number u16 big endian -> a record of `known_guests`

What guests ask about goes into `raw_files` first, and is merged from there a little at a time: in the file
each digest lies on another page. The file is open while something is done with it, and closed after: of a
mapping that is left open all comes to be resident.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lmdb

from appliance.domain.digest import DIGEST_BYTES
from appliance.verdicts.environment import DAMAGED_FILE, EXPOSURE, Environment
from appliance.verdicts.exposure_record import Holding, holdings, seen, without
from appliance.verdicts.known_guests import KnownGuest, KnownGuests, read_guest
from appliance.verdicts.raw_files import RawFiles, Section

MERGED_AT_ONCE = 256  # digests of one commit, and one opening: each brings a page into memory, and neighbours
SWEPT_AT_ONCE = 250  # records
FULL = 0.70  # of the map: above this the oldest go before their time
SHARED = 0.80  # above this who holds most gets no more
VERY_FULL = 0.90  # above this nothing new is taken until some went; LMDB needs the rest
RAW_SHARE = 4  # one part in so many of the map's size may wait to be merged, beside it

_LEAST_HOURS = 24  # a holding that was seen this lately does not go for want of room
_READ_AT_ONCE = 4000


@dataclass(frozen=True, slots=True)
class ExposureTerms:
    """keep_hours: holdings that were not seen for longer go. guest_files: so many digests of one guest."""

    map_bytes: int = 256 << 20
    keep_hours: int = 90 * 24
    guest_files: int = 1_000_000


@dataclass(slots=True)
class _Merging:
    """Digests on their way: whose, when, and how many of them are done."""

    number: int
    hour: int
    digests: list[bytes]
    done: int = 0


class ExposureStore:
    """The file. guests: who is known. counts: of what came in. entries, used_bytes: as of late."""

    def __init__(self, environment: Environment, raw: RawFiles, terms: ExposureTerms) -> None:
        """For open(), which every caller uses."""
        self.notice = environment.notice
        self.counts = dict.fromkeys(("merged", "new", "dropped", "over_guest_files", "aged_out"), 0)
        self.entries = self.used_bytes = 0
        self._environment = environment
        self._raw = raw
        self._terms = terms
        self._merging: _Merging | None = None
        self._sweep_at = b""
        self._keep_hours = terms.keep_hours
        self._begin()

    @classmethod
    def open(cls, directory: Path, terms: ExposureTerms, now: float) -> "ExposureStore":
        """Open the exposure of a directory, or begin one. Raises StoreError, and OSError."""
        environment = Environment.open(directory, terms.map_bytes, now, EXPOSURE)
        return cls(environment, RawFiles(directory, terms.map_bytes // RAW_SHARE), terms)

    @property
    def waiting(self) -> int:
        """How many digests wait to be merged, about."""
        return self._raw.waiting // DIGEST_BYTES

    def spill(self, sections: Iterable[Section]) -> None:
        """Take in what guests asked about, and write down who is known. Raises OSError, lmdb.Error."""
        self.counts["dropped"] += self._raw.put(sections)
        if self.guests.changed:
            with self._writing() as txn:
                self._write_guests(txn)

    def merge(self) -> bool:
        """Merge the next MERGED_AT_ONCE digests; whether there were any. Raises OSError, lmdb.Error."""
        merging = self._merging = self._merging or self._next()
        if merging is None:
            return False
        some = merging.digests[merging.done : merging.done + MERGED_AT_ONCE]
        guest = self.guests.of_number(merging.number, merging.hour)
        if guest is None or self.used_bytes > VERY_FULL * self._terms.map_bytes:
            self.counts["dropped"] += len(some)
        else:
            try:
                with self._writing() as txn:
                    self._merge_some(txn, guest, merging.hour, some)
            except lmdb.MapFullError:  # its pages are worse filled than was thought: until some went
                self.counts["dropped"] += len(some)
                self.used_bytes = self._terms.map_bytes
        merging.done += len(some)
        if merging.done >= len(merging.digests):
            self._merging = None
        return True

    def holders(self, digest: bytes) -> list[Holding]:
        """Who holds a digest, also by what waits to be merged. Raises lmdb.Error."""
        with self._open(), self._environment.read() as txn:
            found = holdings(txn.get(digest))
        found += [Holding(number, hour, hour) for number, hour in self._raw.find(digest)]
        merging = self._merging
        if merging is not None and digest in merging.digests:
            found.append(Holding(merging.number, merging.hour, merging.hour))
        return found

    def files_of(self, guest: KnownGuest, after: bytes) -> tuple[list[tuple[bytes, Holding]], bytes]:
        """Return what a guest holds of the next digests after one, and the last that was looked at.

        The latter is b"" at the end. What waits to be merged is not there yet. Raises lmdb.Error.
        """
        found: list[tuple[bytes, Holding]] = []
        with self._open(), self._environment.read() as txn:
            cursor = txn.cursor()
            there = cursor.set_range(after + b"\0") if after else cursor.first()
            entries = list(itertools.islice(cursor.iternext(), _READ_AT_ONCE)) if there else []
        mark = guest.number.to_bytes(2, "little")
        for digest, record in entries:
            if mark not in record:
                continue
            found.extend(
                (digest, holding)
                for holding in holdings(record)
                if holding.number == guest.number and holding.last >= guest.since
            )
        return found, entries[-1][0] if len(entries) == _READ_AT_ONCE else b""

    def sweep(self, hour: int) -> bool:
        """Look at the next records and drop what is old; whether room is short, so that more has to go.

        Raises lmdb.Error.
        """
        with self._writing() as txn:
            cursor = txn.cursor()
            there = cursor.set_range(self._sweep_at) if self._sweep_at else cursor.first()
            entries = list(itertools.islice(cursor.iternext(), SWEPT_AT_ONCE)) if there else []
            for digest, record in entries:
                left, gone = without(record, hour - self._keep_hours)
                if left and gone:
                    txn.put(digest, left)
                elif gone:
                    txn.delete(digest)
                self._gone(gone)
            self._write_guests(txn)
        short = self.used_bytes > FULL * self._terms.map_bytes
        if len(entries) == SWEPT_AT_ONCE:
            self._sweep_at = entries[-1][0] + b"\0"
            return short
        self._sweep_at = b""
        if short:
            self._keep_hours = max(_LEAST_HOURS, self._keep_hours * 3 // 4)
        elif self._keep_hours < self._terms.keep_hours:
            self._keep_hours = min(self._terms.keep_hours, self._keep_hours * 4 // 3 + 1)
        return short

    def forget_guests(self, hour: int, attached: set[str]) -> None:
        """Forget guests that were not here for longer than holdings are kept. Raises lmdb.Error."""
        numbers = self.guests.forget(hour - self._terms.keep_hours, attached)
        if numbers:
            with self._writing() as txn:
                for number in numbers:
                    txn.delete(number.to_bytes(2, "big"), db=self._environment.table(b"guests"))

    def recover(self, error: lmdb.Error, now: float) -> None:
        """Begin anew where the file is damaged. Raises OSError or lmdb.Error."""
        if isinstance(error, DAMAGED_FILE):
            self._environment.replace(str(error), now)
            self.notice = self._environment.notice
            self._merging = None
            self._begin()

    def sync(self) -> None:
        """Have the kernel write everything to the disk. Raises lmdb.Error."""
        with self._open():
            self._environment.sync()

    def close(self) -> None:
        """Write to the disk, and close. Raises lmdb.Error."""
        self._raw.close()
        with self._open():
            self._environment.sync()
        self._environment.close()

    @contextmanager
    def _open(self) -> Iterator[None]:
        self._environment.reopen()
        try:
            yield
        finally:
            self._environment.suspend()

    @contextmanager
    def _writing(self) -> "Iterator[lmdb.Transaction[bytes]]":
        with self._open():
            with self._environment.begin(write=True) as txn:
                yield txn
            usage = self._environment.usage()
            self.entries, self.used_bytes = usage.entries, usage.used_bytes

    def _begin(self) -> None:
        """Read who is known."""
        with self._writing() as txn:
            table = self._environment.table(b"guests")
            read = [read_guest(int.from_bytes(key, "big"), value) for key, value in txn.cursor(db=table)]
        self.guests = KnownGuests(guest for guest in read if guest is not None)

    def _write_guests(self, txn: "lmdb.Transaction[bytes]") -> None:
        for guest in self.guests.take_changed():
            txn.put(guest.number.to_bytes(2, "big"), guest.record(), db=self._environment.table(b"guests"))

    def _next(self) -> _Merging | None:
        read = self._raw.read()
        if read is None:
            return None
        number, hour, data = read
        digests = {bytes(data[at : at + DIGEST_BYTES]) for at in range(0, len(data), DIGEST_BYTES)}
        return _Merging(number, hour, sorted(digests))

    def _merge_some(
        self, txn: "lmdb.Transaction[bytes]", guest: KnownGuest, hour: int, digests: list[bytes]
    ) -> None:
        most = self._most_files()
        for digest in digests:
            record, is_new = seen(txn.get(digest), guest.number, guest.since, hour)
            if is_new and guest.files >= most:
                self.counts["over_guest_files"] += 1
                continue
            if record is not None:
                txn.put(digest, record)
            if is_new:
                guest.files += 1
                self.counts["new"] += 1
                self.guests.changed.add(guest.number)
        self.counts["merged"] += len(digests)
        self._write_guests(txn)

    def _most_files(self) -> float:
        """How many digests a guest may hold to get more: the fuller the file, the smaller a part of all.

        So the room that is left is for those who hold few, when a few others have filled the rest.
        """
        left = VERY_FULL - self.used_bytes / self._terms.map_bytes
        if left >= VERY_FULL - SHARED:
            return self._terms.guest_files
        return min(self._terms.guest_files, self.entries * left / (VERY_FULL - SHARED))

    def _gone(self, numbers: list[int]) -> None:
        self.counts["aged_out"] += len(numbers)
        for number in numbers:
            guest = self.guests.of_number(number, 1 << 24)
            if guest is not None and guest.files:
                guest.files -= 1
                self.guests.changed.add(number)
