"""The file of one feed: written once, by an import, and never changed after that.

Each import of a feed makes a file of its own, so the old set serves until the new one is whole, and an
import that dies leaves a file that nobody names. What is written once needs no locks and no long
transactions' room, and lies closely packed. `store` says which file counts.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import lmdb

from appliance.private_ksn.records import (
    NO_LABEL,
    RECORD,
    decode_alias,
    decode_label,
    decode_record,
    encode_alias,
    encode_label,
    encode_record,
)
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.subjects import SHA256

MAP_BYTES = 256 << 30  # address space, not disk: the file grows as it needs
KEYS_AT_ONCE = 200_000  # sorted and written together: about 40 MB, and LMDB likes neighbours
LABELS_REMEMBERED = 20_000
WORDS_REMEMBERED = 20_000

_RECORDS = b"records"
_LABELS = b"labels"
_NO_TEXT = ("", "", "")


class FeedWriter:
    """Writes a feed's file, in the order in which entries come. Every method may raise lmdb.Error."""

    def __init__(self, path: Path) -> None:
        """Begin the file, which must not be there yet."""
        self._env = lmdb.open(
            os.fspath(path), map_size=MAP_BYTES, subdir=False, max_dbs=2, mode=0o600, lock=False, sync=False
        )
        self._records = self._env.open_db(_RECORDS)
        self._labels = self._env.open_db(_LABELS)
        self._gathered: dict[bytes, bytes] = {}
        self._new_labels: list[tuple[bytes, bytes]] = []
        self._numbers: dict[tuple[str, str, str], int] = {_NO_TEXT: NO_LABEL}
        self._last_label = NO_LABEL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._env.close()

    def add(self, keys: tuple[bytes, ...], reputation: Reputation) -> None:
        """Enter a reputation under the first key; the others become its aliases where it is a SHA-256.

        What came last counts where a key comes twice.
        """
        key = keys[0]
        label = self._label(reputation)
        self._gathered[key] = encode_record(key, reputation.zone, label, reputation.first_seen)
        for other in keys[1:]:
            self._gathered[other] = (
                encode_alias(other, key[1:])
                if key[:1] == SHA256
                else encode_record(other, reputation.zone, label, reputation.first_seen)
            )
        if len(self._gathered) >= KEYS_AT_ONCE:
            self._write()

    def finish(self) -> int:
        """Write what is left and have it all on the disk; how many keys, aliases too, there are."""
        self._write()
        self._env.sync(True)
        with self._env.begin() as txn:
            entries: int = txn.stat(db=self._records)["entries"]
        return entries

    def _label(self, reputation: Reputation) -> int:
        """The number of its texts. One that was forgotten gets another number, which does no harm."""
        text = (reputation.threat, reputation.category, reputation.name)
        number = self._numbers.get(text)
        if number is None:
            if len(self._numbers) >= LABELS_REMEMBERED:
                self._numbers = {_NO_TEXT: NO_LABEL}
            number = self._last_label = self._last_label + 1
            self._numbers[text] = number
            self._new_labels.append((number.to_bytes(4, "big"), encode_label(reputation)))
        return number

    def _write(self) -> None:
        with self._env.begin(write=True) as txn:
            txn.cursor(db=self._labels).putmulti(self._new_labels, append=True)
            txn.cursor(db=self._records).putmulti(sorted(self._gathered.items()))
        self._gathered.clear()
        self._new_labels.clear()


class FeedFile:
    """A feed's file, open for reading. source: the feed's name, for what it says."""

    def __init__(self, path: Path, source: str) -> None:
        """Open it. Raises lmdb.Error, also where it is not there any more."""
        self._env = lmdb.open(
            os.fspath(path), subdir=False, readonly=True, lock=False, map_size=0, max_dbs=2, readahead=False
        )
        self._source = source
        records, labels = self._env.open_db(_RECORDS, create=False), self._env.open_db(_LABELS, create=False)
        # One for good: nothing is ever written to this file, so no pages wait for it to end.
        self._txn = self._env.begin(db=records)
        self._label_db = labels
        self._words: dict[tuple[Zone, int, int], Reputation] = {}

    def get(self, key: bytes) -> tuple[Reputation, bytes] | None:
        """The reputation under a key and the key that it is kept under: a SHA-256, where that is known."""
        value = self._txn.get(key)
        if value is None:
            return None
        if value[0] != RECORD:
            sha256 = decode_alias(key, value)
            return self.get(SHA256 + sha256) if sha256 is not None else None
        found = decode_record(key, value)
        if found is None:
            return None
        return self._words.get(found) or self._word(*found), key

    def zones(self) -> Iterator[tuple[bytes, int]]:
        """Every key that has a record, not the aliases, in order, with the number of its zone."""
        for key, value in self._txn.cursor():
            if value[0] == RECORD:
                yield bytes(key), value[1]

    def keys(self) -> Iterator[bytes]:
        """Every key that has a record, in order."""
        return (key for key, _ in self.zones())

    def close(self) -> None:
        """Close the file. It must not be used after that."""
        self._txn.abort()
        self._env.close()

    def _word(self, zone: Zone, label: int, first_seen: int) -> Reputation:
        """What a record says; remembered, since many say the same."""
        value = self._txn.get(label.to_bytes(4, "big"), db=self._label_db) if label != NO_LABEL else None
        texts = decode_label(bytes(value)) if value is not None else _NO_TEXT
        if len(self._words) >= WORDS_REMEMBERED:
            self._words = {}
        word = self._words[zone, label, first_seen] = Reputation(zone, *texts, first_seen, self._source)
        return word
