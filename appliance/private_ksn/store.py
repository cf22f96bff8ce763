"""What a Private KSN knows: one small LMDB file that says what counts, and a file for each feed.

    private-ksn.lmdb
      meta     "format"; "version", which every change raises; "sequence" of the last change of a zone;
               "floor": changes up to this one are not kept any more. Numbers are u64 big endian
      feeds    name -> JSON of Feed: which file of feeds/ counts, and what the import said
      entries  key -> JSON: the operator's own word, which wins over all feeds
      changes  sequence -> JSON {kind, value, zone, threat, category, name}, the newest KEPT_CHANGES
    feeds/NAME-NUMBER.lmdb    see `feed_file`

Everything that belongs together is one transaction: a reader sees a feed's old file or its new one, with
the changes of zones that go with it. Readers need no other lock, in any number of processes.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lmdb

from appliance.private_ksn.feed_file import FeedFile
from appliance.private_ksn.records import MAX_TEXT_LETTERS
from appliance.private_ksn.reputation import Reputation, Zone, strongest
from appliance.private_ksn.subjects import Subject, subject_of

FILE = "private-ksn.lmdb"
FEEDS_DIRECTORY = "feeds"
FORMAT = b"kvm-light-agent private-ksn 1"
MAP_BYTES = 16 << 30  # address space, not disk
KEPT_CHANGES = 100_000
MAX_FEEDS = 64  # every question looks into each
OPERATOR = "operator"

_VERSION, _SEQUENCE, _FLOOR, _FORMAT = b"version", b"sequence", b"floor", b"format"
_ATTEMPTS = 10  # to open files that an import replaces meanwhile


class StoreError(Exception):
    """The store cannot be used; the message says why and what to do."""


class TooOld(Exception):
    """Changes since then are not kept any more: whoever asks has to look at everything anew."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed as its last import left it. entries: keys, aliases too. imported: seconds since the epoch."""

    file: str
    form: str
    imported: int
    entries: int
    bad: int


@dataclass(frozen=True, slots=True)
class Change:
    """A zone that is another one now. zone: "" where nothing is known any more.

    threat, category, name: of what is said now, each at most MAX_TEXT_LETTERS. sha256: in hexadecimal, of a
    URL that is too long to be kept as such.
    """

    sequence: int
    kind: str
    value: str
    zone: str
    threat: str = ""
    category: str = ""
    name: str = ""
    sha256: str = ""


Flip = tuple[bytes, Reputation | None]  # a key whose zone changes, and what is said of it from now on


class Store:
    """The open store of a directory, once in a process. Used from one thread."""

    def __init__(self, env: lmdb.Environment, directory: Path) -> None:
        """For open(), which every caller uses."""
        self._env = env
        self._directory = directory
        self._meta = env.open_db(b"meta", create=False)
        self._feeds_db = env.open_db(b"feeds", create=False)
        self._entries = env.open_db(b"entries", create=False)
        self._changes = env.open_db(b"changes", create=False)
        self._version = -1
        self._files: dict[str, FeedFile] = {}
        self._open_feeds: dict[str, Feed] = {}

    @classmethod
    def open(cls, directory: Path, create: bool = True) -> "Store":
        """Open the store of a directory, or begin one where `create` says so. Raises StoreError."""
        path = directory / FILE
        try:
            if create:
                (directory / FEEDS_DIRECTORY).mkdir(parents=True, exist_ok=True, mode=0o700)
            elif not path.exists():
                raise StoreError(f"{path} is not there: import a feed first, or name another data_dir")
            env = lmdb.open(os.fspath(path), map_size=MAP_BYTES, subdir=False, max_dbs=4, mode=0o600)
        except (OSError, lmdb.Error) as error:
            raise StoreError(f"{path} cannot be opened: {error}; see that you may write there") from error
        try:
            env.reader_check()  # gives back what a killed process held, which would keep pages from use
            _begin(env, path)
            return cls(env, directory)
        except BaseException:
            env.close()
            raise

    @property
    def directory(self) -> Path:
        """Where the feeds' files lie."""
        return self._directory / FEEDS_DIRECTORY

    def lookup(self, key: bytes) -> tuple[Reputation, bytes] | None:
        """What counts for a key, and the key that it is kept under; None where nothing is known.

        The operator's word on a SHA-256 counts for its MD5 and SHA-1 where a feed knows these as its own.
        """
        with self._env.begin(db=self._meta) as txn:  # one for both looks: most of what a question costs here
            current = _number(txn.get(_VERSION)) == self._version
            own = txn.get(key, db=self._entries)
        fed = self._fed(key) if current else self.fed(key)
        return (_filled(_reputation(own), fed), key) if own is not None else fed

    def fed(self, key: bytes, without: str = "") -> tuple[Reputation, bytes] | None:
        """As `lookup`, but the operator's word on this very key is not heard, nor the feed `without`."""
        self._refresh()
        return self._fed(key, without)

    def _fed(self, key: bytes, without: str = "") -> tuple[Reputation, bytes] | None:
        """`fed` from the files that are open."""
        found = [word for name, file in self._files.items() if name != without and (word := file.get(key))]
        if not found:
            return None
        best, kept = found[0]
        if len(found) > 1:
            kept = next((kept for _, kept in found if kept != key), key)
            best = strongest([word for word, _ in found]) or best
        own = self.own(kept) if kept != key else None
        return _filled(own, (best, kept)) if own else best, kept

    def words(self, key: bytes) -> list[Reputation]:
        """What each source says of a key, the operator first: for people, not for answers."""
        self._refresh()
        found = [word for file in self._files.values() if (word := file.get(key))]
        kept = next((kept for _, kept in found if kept != key), key)
        own = self.own(key) or self.own(kept)
        return ([own] if own else []) + [word for word, _ in found]

    def own(self, key: bytes) -> Reputation | None:
        """The operator's word on this very key."""
        with self._env.begin(db=self._entries) as txn:
            value = txn.get(key)
        return _reputation(value) if value is not None else None

    def feeds(self) -> dict[str, Feed]:
        """Every feed by its name."""
        with self._env.begin(db=self._feeds_db) as txn:
            return {bytes(name).decode(): Feed(**json.loads(value)) for name, value in txn.cursor()}

    def feed_keys(self, name: str) -> Iterator[bytes]:
        """The keys of a feed, in order."""
        file = self.file_of(name)
        return file.keys() if file else iter(())

    def entries(self) -> Iterator[tuple[Subject, Reputation]]:
        """The operator's own words."""
        with self._env.begin(db=self._entries) as txn:
            for key, value in txn.cursor():
                yield subject_of(bytes(key)), _reputation(value)

    def set_entry(self, key: bytes, reputation: Reputation | None) -> bool:
        """Keep the operator's word on a key, or end it (None); False where there was none to end.

        An MD5 or SHA-1 whose SHA-256 a feed knows stands for that.
        """
        fed = self.fed(key)
        key = fed[1] if fed else key
        before, fed = self.lookup(key), self.fed(key)
        after = _filled(reputation, fed) if reputation else fed[0] if fed else None
        with self._writing() as txn:
            if reputation is None:
                changed = bool(txn.delete(key, db=self._entries))
            else:
                changed = bool(txn.put(key, _packed(reputation), db=self._entries))
            zones = before[0].zone if before else None, after.zone if after else None
            if zones[0] != zones[1]:
                self._note(txn, [(key, after)])
        return changed

    def put_feed(self, name: str, feed: Feed, flips: Iterable[Flip] | None) -> None:
        """Let a new file count for a feed. flips: zones that change with it; None: more than are kept."""
        with self._writing() as txn:
            txn.put(name.encode(), json.dumps(asdict(feed)).encode(), db=self._feeds_db)
            self._note(txn, flips)

    def drop_feed(self, name: str, flips: Iterable[Flip] | None) -> None:
        """Let a feed count no more. flips: as in put_feed."""
        with self._writing() as txn:
            txn.delete(name.encode(), db=self._feeds_db)
            self._note(txn, flips)

    def sequence(self) -> int:
        """The number of the last change of a zone, 0 where there was none."""
        with self._env.begin(db=self._meta) as txn:
            return _number(txn.get(_SEQUENCE))

    def changes(self, since: int, limit: int) -> tuple[list[Change], int]:
        """The first `limit` changes after number `since`, and the number of the last one that there is.

        Raises TooOld where some of them are not kept, or `since` is a number that was never given.
        """
        with self._env.begin(db=self._meta) as txn:
            last, floor = _number(txn.get(_SEQUENCE)), _number(txn.get(_FLOOR))
            if not floor <= since <= last:
                raise TooOld(
                    f"changes {floor + 1} to {last} are kept; {since} does not come before one of them"
                )
            cursor = txn.cursor(db=self._changes)
            found: list[Change] = []
            if cursor.set_range(_bytes(since + 1)):
                for number, value in cursor:
                    found.append(Change(_number(number), **json.loads(value)))
                    if len(found) >= limit:
                        break
        return found, last

    def file_of(self, name: str) -> FeedFile | None:
        """The open file of a feed; the store closes it. LMDB wants a file open once in a process."""
        self._refresh()
        return self._files.get(name)

    def close(self) -> None:
        """Close everything."""
        for file in self._files.values():
            file.close()
        self._files = {}
        self._env.close()

    def _refresh(self) -> None:
        """Have the files open that count now."""
        for _ in range(_ATTEMPTS):
            with self._env.begin(db=self._meta) as txn:
                version = _number(txn.get(_VERSION))
                if version == self._version:
                    return
            try:
                self._reopen(self.feeds())
            except lmdb.Error as error:
                problem = error  # an import replaced the file in this moment: the next look names the new one
                continue
            self._version = version
            return
        raise StoreError(f"a feed in {self.directory} cannot be opened ({problem}): import it anew")

    def _reopen(self, feeds: dict[str, Feed]) -> None:
        """Open the files that are not open yet, then close those that count no more. Raises lmdb.Error."""
        kept = {name: feed for name, feed in feeds.items() if self._open_feeds.get(name) == feed}
        opened: dict[str, FeedFile] = {}
        try:
            for name, feed in feeds.items():
                if name not in kept:
                    opened[name] = FeedFile(self.directory / feed.file, name)
        except lmdb.Error:
            for file in opened.values():
                file.close()
            raise
        for name, file in self._files.items():
            if name not in kept:
                file.close()
        self._files = {name: opened.get(name) or self._files[name] for name in feeds}
        self._open_feeds = feeds

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        """A transaction that raises the version, so that every reader looks at the feeds again."""
        try:
            with self._env.begin(write=True, db=self._meta) as txn:
                txn.put(_VERSION, _bytes(_number(txn.get(_VERSION)) + 1))
                yield txn
        except lmdb.Error as error:
            raise StoreError(
                f"{self._directory / FILE} cannot be written ({error}): nothing was changed; "
                "free room on its disk"
            ) from error

    def _note(self, txn: Any, flips: Iterable[Flip] | None) -> None:
        """Enter changes of zones, and let the oldest go that are too many."""
        last, floor = _number(txn.get(_SEQUENCE)), _number(txn.get(_FLOOR))
        if flips is None:
            txn.drop(self._changes, delete=False)
            last = floor = last + 1
        for key, word in flips or ():
            last += 1
            change = _change(key, word)
            txn.put(_bytes(last), json.dumps(change).encode(), db=self._changes, append=True)
        while last - floor > KEPT_CHANGES:
            floor += 1
            txn.delete(_bytes(floor), db=self._changes)
        txn.put(_SEQUENCE, _bytes(last))
        txn.put(_FLOOR, _bytes(floor))


def _begin(env: Any, path: Path) -> None:
    """Make the databases of a new file. Raises StoreError for the file of another program or version."""
    try:
        with env.begin(write=True) as txn:
            fresh = txn.stat(db=env.open_db(txn=txn))["entries"] == 0
            if not fresh and txn.get(b"meta") is None:
                raise StoreError(f"{path} is an LMDB file of another program: name another data_dir")
            meta = env.open_db(b"meta", txn=txn)
            if not fresh and txn.get(_FORMAT, db=meta) != FORMAT:
                raise StoreError(f"{path} is not of this version: import the feeds into another data_dir")
            for name in (b"feeds", b"entries", b"changes"):
                env.open_db(name, txn=txn)
            if fresh:
                txn.put(_FORMAT, FORMAT, db=meta)
                for name in (_VERSION, _SEQUENCE, _FLOOR):
                    txn.put(name, _bytes(0), db=meta)
    except lmdb.Error as error:
        raise StoreError(f"{path} cannot be used: {error}") from error


def _bytes(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _number(value: bytes | memoryview | None) -> int:
    assert value is not None  # each number is there since the file was begun
    return int.from_bytes(value, "big")


def _filled(own: Reputation, fed: tuple[Reputation, bytes] | None) -> Reputation:
    """The operator's word, with what program it is, and of what category, from feeds where he is silent."""
    if fed is None:
        return own
    return replace(own, category=own.category or fed[0].category, name=own.name or fed[0].name)


def _change(key: bytes, word: Reputation | None) -> dict[str, str]:
    """A change as it is kept and told; what there is no word for is left out."""
    subject = subject_of(key)
    change = {"kind": subject.kind, "value": subject.text, "zone": word.zone.word if word else ""}
    if subject.sha256:
        change["sha256"] = subject.sha256
    texts = {"threat": word.threat, "category": word.category, "name": word.name} if word else {}
    return change | {name: text[:MAX_TEXT_LETTERS] for name, text in texts.items() if text}


def _packed(reputation: Reputation) -> bytes:
    return json.dumps(asdict(reputation)).encode()


def _reputation(value: bytes | memoryview) -> Reputation:
    fields = json.loads(bytes(value))
    return Reputation(**{**fields, "zone": Zone(fields["zone"])})
