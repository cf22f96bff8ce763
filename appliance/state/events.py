"""Events, on the disk when `append` returns, kept by age and size: the file events.lmdb.

    events    number as u64 big endian, from 1 -> an `event_record`
    journals  owner, a zero byte, the journal's 16 bytes -> the number kept last (u64 big endian), when (u32)
    sizes     "bytes" -> what the events take; "last" -> the newest number there was; u64 big endian
    revocations  number of a revocation's event -> an `event_record` of its time, digest and scope

What a guest sends twice, since it had not heard that it was kept, is known by its journal's number: that is
written in the same transaction as the events. `append` waits for the disk and is for a thread, one call at a
time; the rest reads.

Revocations stand a second time in a table of their own, with a bound of its own: a start reads all of them,
and no guest may make that slow, or push them out by events of its own.

A damaged file is set aside, unlike state.lmdb: events are what one looks up, and no reason not to serve.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import lmdb

from appliance.domain.event import JOURNAL_BYTES, Event, EventKind
from appliance.state.environment import StateDamaged, StateEnvironment, StateError, StateFile
from appliance.state.event_record import DamagedEvent, decode, encode

FILE = "events.lmdb"
MAX_JOURNALS = 8192  # of all guests together
JOURNALS_OF_OWNER = 32
MOST_TRIMMED = 4096  # events that go with one commit
MAX_REVOCATIONS = 16_384

_MOST_LOOKED_AT = 2048  # at once, going back: 2 ms
_MOST_FOUND = 64  # of these: 2 ms

_LARGE = 2000  # bytes above which a value takes whole pages
_PAGE_BYTES = 4096
_NODE_BYTES = 18
_LEAST_MAP = 64 << 20
_BYTES_KEY, _LAST_KEY = b"bytes", b"last"

_NO_BOUND: Mapping[str, int] = {}

Numbered = tuple[int, Event]


@dataclass(frozen=True, slots=True)
class EventTerms:
    """What is kept: so many bytes, none older than so many seconds."""

    max_bytes: int = 256 << 20
    keep_seconds: float = 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to be kept. owner, journal: of an event by a guest's word, whose numbers these bound."""

    event: Event
    owner: str = ""
    journal: bytes = b""


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of entries. spent: by owner, in bytes. refused: by owner, what there was no room for."""

    kept: list[Numbered] = field(default_factory=list)
    spent: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    refused: defaultdict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True)
class Looked:
    """Events that may be wanted, the newest first.

    below: the number from which on to go further back, 0 where none is older. at: the time of the oldest that
    was looked at, without end where it is not known.
    """

    found: list[Numbered]
    below: int
    at: float


class EventStore:
    """The events of one SVM. dropped: how many made way since it was opened. notice: what was set aside."""

    def __init__(self, environment: StateEnvironment, terms: EventTerms) -> None:
        """For open(), which every caller uses."""
        self.notice = ""
        self.dropped = 0
        self.damaged = 0
        self._environment = environment
        self._terms = terms
        self._events_db = environment.table(b"events")
        self._journals_db = environment.table(b"journals")
        self._sizes_db = environment.table(b"sizes")
        self._revocations_db = environment.table(b"revocations")
        self._last = self._newest_number()

    @classmethod
    def open(cls, directory: Path, terms: EventTerms, now: float) -> "EventStore":
        """Open the events of a directory, or begin anew. now: for the name of what is set aside.

        Raises StateError where the file cannot be used.
        """
        kind = events_file(2 * terms.max_bytes + _LEAST_MAP)
        try:
            return cls(StateEnvironment.open(directory, kind), terms)
        except StateDamaged as error:
            aside = directory / f"{FILE}.damaged-{int(now)}"
            _set_aside(directory / FILE, aside)
            store = cls(StateEnvironment.open(directory, kind), terms)
            store.notice = f"{error}; it lies at {aside}, and events begin anew"
            return store

    @property
    def last(self) -> int:
        """The number of the newest event, 0 before the first."""
        return self._last

    def append(self, entries: Sequence[Entry], now: float, room: Mapping[str, int] = _NO_BOUND) -> Appended:
        """Keep events, but for those that were kept before, and those for which an owner has no room.

        room: in bytes, by owner; without end for who is not in it. From the first that does not fit on, none
        of an owner's is kept. Raises StateError where they could not be written; nothing is kept then.
        """
        done = Appended()
        with self._environment.changing:
            with self._environment.writing() as txn:
                new = self._new_of(txn, entries, now)
                used = self._used(txn) + self._put_all(txn, new, room, done)
                self._trim_revocations(txn)
                used, dropped = self._trim(txn, used, now)
                number = self._last + len(done.kept)
                txn.put(_BYTES_KEY, _key(used), db=self._sizes_db)
                txn.put(_LAST_KEY, _key(number), db=self._sizes_db)
            self._last = number
            self.dropped += dropped
        return done

    @classmethod
    def open_to_read(cls, directory: Path, terms: EventTerms) -> "EventStore":
        """Open them beside the SVM that may be writing them. Raises StateError, also where there are none."""
        kind = events_file(2 * terms.max_bytes + _LEAST_MAP)
        environment = StateEnvironment.open_to_read(directory, kind)
        try:
            return cls(environment, terms)
        except BaseException:
            environment.close()
            raise

    def fill(self) -> float:
        """The share of the file's room that was ever used; what is free of it is used again."""
        return self._environment.used_bytes() / self._environment.kind.map_bytes

    def from_number(self, first: int, limit: int) -> list[Numbered]:
        """Return `limit` events at the most, from a number on, by rising number."""
        found: list[Numbered] = []
        with self._environment.reading() as txn:
            cursor = txn.cursor(db=self._events_db)
            there = cursor.set_range(_key(max(first, 1)))
            while there and len(found) < limit:
                self._take(cursor, found)
                there = cursor.next()
        return found

    def back_from(self, below: int, may: Callable[[bytes], bool]) -> Looked:
        """Look at events of numbers below one, going back: a few, so that nobody waits long for a thread.

        may: says of a record whether its event may be wanted; only such are decoded.
        """
        found: list[Numbered] = []
        oldest, record = 0, b""
        with self._environment.reading() as txn:
            cursor = txn.cursor(db=self._events_db)
            there = cursor.prev() if cursor.set_range(_key(below)) else cursor.last()
            for _ in range(_MOST_LOOKED_AT):
                if not there or len(found) >= _MOST_FOUND:
                    break
                oldest, record = _number(bytes(cursor.key())), bytes(cursor.value())
                if may(record):
                    self._take(cursor, found)
                there = cursor.prev()
        event = self._decoded(record) if record else None
        return Looked(found, oldest if there else 0, inf if event is None else event.at)

    def revoked(self, since: float) -> list[Event]:
        """Return the revocations of `since` or later, MAX_REVOCATIONS at the most, the oldest first.

        They have time, digest and scope alone. They stay when the events themselves have aged out.
        """
        with self._environment.reading() as txn:
            records = [bytes(record) for _, record in txn.cursor(db=self._revocations_db)]
        found = map(self._decoded, records)
        return [event for event in found if event is not None and event.at >= since]

    def count(self) -> int:
        """How many events are kept."""
        with self._environment.reading() as txn:
            return int(txn.stat(db=self._events_db)["entries"])

    def used_bytes(self) -> int:
        """What they take."""
        with self._environment.reading() as txn:
            return self._used(txn)

    def close(self) -> None:
        """Close the file."""
        self._environment.close()

    def _newest_number(self) -> int:
        with self._environment.reading() as txn:
            return _number(bytes(txn.get(_LAST_KEY, db=self._sizes_db) or b""))

    def _take(self, cursor: lmdb.Cursor, found: list[Numbered]) -> None:
        event = self._decoded(bytes(cursor.value()))
        if event is not None:
            found.append((_number(bytes(cursor.key())), event))

    def _decoded(self, record: bytes) -> Event | None:
        """Return the event of a record; one that is damaged is counted, and passed over."""
        try:
            return decode(record)
        except DamagedEvent:
            self.damaged += 1
            return None

    def _used(self, txn: lmdb.Transaction) -> int:
        return _number(bytes(txn.get(_BYTES_KEY, db=self._sizes_db) or b""))

    def _put_all(
        self, txn: lmdb.Transaction, entries: Sequence[Entry], room: Mapping[str, int], done: Appended
    ) -> int:
        """Write what fits, and enter all into `done`; how many bytes that takes."""
        used = 0
        for entry in entries:
            owner, event, record = entry.owner, entry.event, encode(entry.event)
            size = _size(record)
            if owner in done.refused or (owner in room and done.spent[owner] + size > room[owner]):
                done.refused[owner].append(event)
                continue
            number = self._last + len(done.kept) + 1
            txn.put(_key(number), record, db=self._events_db, append=True)
            if event.kind is EventKind.REVOCATION:
                txn.put(_key(number), _short(event), db=self._revocations_db, append=True)
            if owner:
                done.spent[owner] += size
            used += size
            done.kept.append((number, event))
        return used

    def _new_of(self, txn: lmdb.Transaction, entries: Sequence[Entry], now: float) -> list[Entry]:
        """Return those that were not kept before, and note how far each journal is."""
        heard: dict[bytes, int] = {}
        new = [entry for entry in entries if not entry.journal or self._is_new(txn, entry, heard)]
        for key, last in heard.items():
            self._note_journal(txn, key, last, now)
        return new

    def _is_new(self, txn: lmdb.Transaction, entry: Entry, heard: dict[bytes, int]) -> bool:
        """Whether an event of a guest's journal was not kept before. heard: by journal, the last number."""
        assert entry.event.said is not None
        key = entry.owner.encode() + b"\0" + entry.journal
        last = heard.get(key)
        if last is None:
            last = _number(bytes(txn.get(key, db=self._journals_db) or b"")[:8])
        heard[key] = max(last, entry.event.said.number)
        return entry.event.said.number > last

    def _note_journal(self, txn: lmdb.Transaction, key: bytes, last: int, now: float) -> None:
        if txn.get(key, db=self._journals_db) is None:
            self._make_room(txn, key[:-JOURNAL_BYTES])
        txn.put(key, _key(last) + max(0, int(now)).to_bytes(4, "big"), db=self._journals_db)

    def _make_room(self, txn: lmdb.Transaction, owner: bytes) -> None:
        """Forget the journal that was used longest ago, where its owner or all have as many as they may."""
        cursor = txn.cursor(db=self._journals_db)
        everybody = txn.stat(db=self._journals_db)["entries"] >= MAX_JOURNALS
        there = cursor.set_range(b"" if everybody else owner)
        found: list[tuple[bytes, bytes]] = []  # when, key
        while there and (everybody or bytes(cursor.key()).startswith(owner)):
            found.append((bytes(cursor.value())[8:], bytes(cursor.key())))
            there = cursor.next()
        if everybody or len(found) >= JOURNALS_OF_OWNER:
            txn.delete(min(found)[1], db=self._journals_db)

    def _trim_revocations(self, txn: lmdb.Transaction) -> None:
        """Drop the oldest revocations above MAX_REVOCATIONS."""
        over = txn.stat(db=self._revocations_db)["entries"] - MAX_REVOCATIONS
        cursor = txn.cursor(db=self._revocations_db)
        while over > 0 and cursor.first():
            cursor.delete()
            over -= 1

    def _trim(self, txn: lmdb.Transaction, used: int, now: float) -> tuple[int, int]:
        """Drop the oldest events that are too old or too much; what is left in bytes, and how many went."""
        cursor, dropped = txn.cursor(db=self._events_db), 0
        oldest = now - self._terms.keep_seconds
        while dropped < MOST_TRIMMED and cursor.first():
            record = bytes(cursor.value())
            if used <= self._terms.max_bytes and not self._is_older(record, oldest):
                break
            cursor.delete()
            used, dropped = max(0, used - _size(record)), dropped + 1
        return used, dropped

    def _is_older(self, record: bytes, oldest: float) -> bool:
        event = self._decoded(record)
        return event is None or event.at < oldest


def events_file(map_bytes: int) -> StateFile:
    """Return what the file is, with the way from each older schema to this one."""
    return StateFile(FILE, map_bytes, "it is set aside", (_gather_revocations,))


def sizes(events: Iterable[Event]) -> int:
    """Return how many bytes events will take."""
    return sum(_size(encode(event)) for event in events)


def _size(record: bytes) -> int:
    if len(record) > _LARGE:
        return -(-len(record) // _PAGE_BYTES) * _PAGE_BYTES
    return len(record) + _NODE_BYTES


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _number(key: bytes) -> int:
    return int.from_bytes(key, "big")


def _set_aside(path: Path, aside: Path) -> None:
    try:
        path.rename(aside)
        path.with_name(f"{path.name}-lock").unlink(missing_ok=True)
    except OSError as error:
        raise StateError(
            f"{path} is damaged and cannot be renamed: {error.strerror}; move it away"
        ) from error


def _gather_revocations(env: lmdb.Environment, txn: lmdb.Transaction) -> None:
    """Schema 2: revocations stand a second time in a table of their own."""
    events = env.open_db(b"events", txn=txn)
    revocations = env.open_db(b"revocations", txn=txn)
    word = f'"{EventKind.REVOCATION}"'.encode()
    cursor, found = txn.cursor(db=events), 0
    there = cursor.last()
    while there and found < MAX_REVOCATIONS:
        record = bytes(cursor.value())
        if word in record and (short := _revocation_of(record)) is not None:
            txn.put(bytes(cursor.key()), short, db=revocations)
            found += 1
        there = cursor.prev()


def _revocation_of(record: bytes) -> bytes | None:
    """The record of a revocation in short; None for another event, and for one that is damaged."""
    try:
        event = decode(record)
    except DamagedEvent:
        return None
    return _short(event) if event.kind is EventKind.REVOCATION else None


def _short(event: Event) -> bytes:
    return encode(Event(event.at, event.kind, sha256=event.sha256, scope=event.scope))
