"""Events, on the disk when `append` returns, kept by age and size: the file events.lmdb.

    events    number as u64 big endian, from 1 -> an `event_record`
    journals  owner, a zero byte, the journal's 16 bytes -> the number kept last (u64 big endian), when (u32)
    sizes     "bytes" -> what the events take; "last" -> the newest number there was; u64 big endian

What a guest sends twice, since it had not heard that it was kept, is known by its journal's number: that is
written in the same transaction as the events. `append` waits for the disk and is for a thread, one call at a
time; the rest reads.

A damaged file is set aside, unlike state.lmdb: events are what one looks up, and no reason not to serve.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lmdb

from appliance.domain.event import JOURNAL_BYTES, Event, EventKind
from appliance.state.environment import StateDamaged, StateEnvironment, StateError, StateFile
from appliance.state.event_record import DamagedEvent, decode, encode

FILE = "events.lmdb"
MAX_JOURNALS = 8192  # of all guests together
JOURNALS_OF_OWNER = 32
MOST_TRIMMED = 4096  # events that go with one commit

_LARGE = 2000  # bytes above which a value takes whole pages
_PAGE_BYTES = 4096
_NODE_BYTES = 18
_LEAST_MAP = 64 << 20
_BYTES_KEY, _LAST_KEY = b"bytes", b"last"

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
        self._last = self._newest_number()

    @classmethod
    def open(cls, directory: Path, terms: EventTerms, now: float) -> "EventStore":
        """Open the events of a directory, or begin anew. now: for the name of what is set aside.

        Raises StateError where the file cannot be used.
        """
        kind = StateFile(FILE, 2 * terms.max_bytes + _LEAST_MAP, "it is set aside")
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

    def append(self, entries: Sequence[Entry], now: float) -> list[Numbered]:
        """Keep events and return them with their numbers, without those that were kept before.

        Raises StateError where they could not be written; nothing of them is kept then.
        """
        kept: list[Numbered] = []
        with self._environment.changing:
            number = self._last
            with self._environment.writing() as txn:
                heard: dict[bytes, int] = {}
                used = self._used(txn)
                for entry in entries:
                    if entry.journal and not self._is_new(txn, entry, heard):
                        continue
                    number += 1
                    record = encode(entry.event)
                    txn.put(_key(number), record, db=self._events_db, append=True)
                    used += _size(record)
                    kept.append((number, entry.event))
                for key, last in heard.items():
                    self._note_journal(txn, key, last, now)
                used, dropped = self._trim(txn, used, now)
                txn.put(_BYTES_KEY, _key(used), db=self._sizes_db)
                txn.put(_LAST_KEY, _key(number), db=self._sizes_db)
            self._last = number
            self.dropped += dropped
        return kept

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

    def first_of_newest(self, wanted: Callable[[Event], bool], since: float, limit: int) -> int:
        """Return the number from which on `limit` events are wanted, or all that are of `since` or later."""
        first, left = self._last + 1, limit
        with self._environment.reading() as txn:
            cursor = txn.cursor(db=self._events_db)
            there = cursor.last()
            while there and left:
                event = self._decoded(bytes(cursor.value()))
                if event is not None and event.at < since:
                    break
                if event is not None and wanted(event):
                    first, left = _number(bytes(cursor.key())), left - 1
                there = cursor.prev()
        return first

    def newest(self, kind: EventKind, since: float, limit: int) -> list[Event]:
        """Return the newest `limit` events of a kind that are of `since` or later, the oldest first.

        Fast where they are few among many: what does not have the kind's name in it is not taken apart.
        """
        found: list[Event] = []
        name = f'"{kind}"'.encode()
        with self._environment.reading() as txn:
            cursor = txn.cursor(db=self._events_db)
            there = cursor.last()
            while there and len(found) < limit:
                value = bytes(cursor.value())
                event = self._decoded(value) if name in value else None
                if event is not None and event.at < since:
                    break
                if event is not None and event.kind is kind:
                    found.append(event)
                there = cursor.prev()
        return found[::-1]

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
