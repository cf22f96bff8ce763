"""Lists of bad web addresses that the operator keeps at home: they answer first, and nothing is sent then.

Files in his directories: URLhaus's CSV (*.csv, and *.zip with one in it) and plain lists (*.txt), one URL or
host a line. A URL stands for itself, whatever query string is asked for where it has none of its own; a host
stands for itself and all names below it.

What is kept of an entry is 16 bytes of a hash of its normal form and a number of what is said of it: two
million entries take 36 MB. The hash (BLAKE2b) is one that nobody finds a second address for.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from appliance.feeds import urlhaus
from appliance.feeds.lines import Bad, Progress, SourceError, lines
from appliance.feeds.web_address import BadUrl
from appliance.ksn.opentip_json import clean_name
from appliance.ksn.weburl import WebResource, parse_url

MOST_ENTRIES = 2_000_000
MOST_PROBLEMS = 100
_HASH_BYTES = 16
_NUMBER_BYTES = 2
_ENTRY_BYTES = _HASH_BYTES + _NUMBER_BYTES
_MOST_WORDS = 1 << 8 * _NUMBER_BYTES
_URLHAUS = {".csv", ".zip"}
_PLAIN = {".txt"}


class Word(NamedTuple):
    """What a list says of an entry. list: the name of its file. category: "" where it says none."""

    list: str
    category: str


@dataclass(frozen=True, slots=True)
class ListsReport:
    """What reading the lists came to.

    entries: that are in use. bad: lines, and files, that could not be taken. problems: "file:line: why", the
    first of them. left_out: entries over MOST_ENTRIES.
    """

    files: int = 0
    entries: int = 0
    bad: int = 0
    problems: tuple[str, ...] = ()
    left_out: int = 0


class UrlLists:
    """The lists of some directories. Empty until `reload`, which may run in another thread than `find`."""

    def __init__(self, directories: Sequence[Path] = (), most: int = MOST_ENTRIES) -> None:
        """most: entries that are kept."""
        self.report = ListsReport()
        self._directories = tuple(directories)
        self._most = most
        self._table = _Table(b"", ())

    def __len__(self) -> int:
        """How many entries are in use."""
        return len(self._table)

    def reload(self) -> ListsReport:
        """Read the files anew and switch over. Raises nothing: what cannot be read is in the report."""
        building = _Building(self._most)
        for path in _files(self._directories, building):
            building.files += 1
            try:
                _read(path, building)
            except (SourceError, OSError) as error:
                building.refuse(str(path), getattr(error, "strerror", None) or str(error))
        self._table = building.table()
        self.report = building.report(len(self._table))
        return self.report

    def find(self, resource: WebResource) -> Word | None:
        """Return what is said of an address; None where it stands in no list."""
        table = self._table
        if not len(table):
            return None
        found = (word for key in _keys_asked(resource) if (word := table.find(key)) is not None)
        return next(found, None)


class _Table(Sequence[bytes]):
    """Hashes in order, each with the number of its word behind it."""

    def __init__(self, entries: bytes, words: Sequence[Word]) -> None:
        self._entries, self._words = entries, words

    def __len__(self) -> int:
        return len(self._entries) // _ENTRY_BYTES

    def __getitem__(self, place: int) -> bytes:  # type: ignore[override]  # nobody slices it
        return self._entries[place * _ENTRY_BYTES : (place + 1) * _ENTRY_BYTES]

    def find(self, key: bytes) -> Word | None:
        place = bisect_left(self, key)
        entry = self[place] if place < len(self) else b""
        if entry[:_HASH_BYTES] != key:
            return None
        return self._words[int.from_bytes(entry[_HASH_BYTES:])]


class _Building:
    """What was read so far: entries by the first byte of their hash, each part to be sorted alone."""

    def __init__(self, most: int) -> None:
        self.files = 0
        self._most, self._count, self._left_out = most, 0, 0
        self._parts = [bytearray() for _ in range(256)]
        self._words: dict[Word, int] = {}
        self._bad = 0
        self._problems: list[str] = []

    def add(self, key: bytes, word: Word) -> None:
        """Take an entry, or count it where there is no room."""
        if self._count >= self._most:
            self._left_out += 1
            return
        if word not in self._words and len(self._words) >= _MOST_WORDS - 1:
            word = Word("a list", "")  # for a file that says something else in every line
        number = self._words.setdefault(word, len(self._words))
        self._parts[key[0]] += key + number.to_bytes(_NUMBER_BYTES)
        self._count += 1

    def refuse(self, where: str, why: str) -> None:
        """Count what could not be taken, and name the first of it."""
        self._bad += 1
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(f"{where}: {why}"[:500])

    def table(self) -> _Table:
        """All of it in order; of an address that stands in lists twice, what was said first."""
        entries = bytearray()
        for part in self._parts:
            whole = [bytes(part[at : at + _ENTRY_BYTES]) for at in range(0, len(part), _ENTRY_BYTES)]
            before = b""
            for entry in sorted(whole):
                if entry[:_HASH_BYTES] != before:
                    entries += entry
                    before = entry[:_HASH_BYTES]
            part.clear()
        return _Table(bytes(entries), tuple(self._words))

    def report(self, entries: int) -> ListsReport:
        """What it came to."""
        return ListsReport(self.files, entries, self._bad, tuple(self._problems), self._left_out)


def _files(directories: Sequence[Path], building: _Building) -> Iterator[Path]:
    """The files that are lists, in order."""
    for directory in directories:
        try:
            if not directory.is_dir():
                building.refuse(str(directory), "it is no directory that can be read")
                continue
            found = [path for path in directory.rglob("*") if path.suffix.lower() in _URLHAUS | _PLAIN]
            yield from sorted(path for path in found if path.is_file())
        except OSError as error:
            building.refuse(str(directory), error.strerror or str(error))


def _read(path: Path, building: _Building) -> None:
    """Take a file's entries. Raises SourceError and OSError."""
    for entry in _urlhaus(path) if path.suffix.lower() in _URLHAUS else _plain(path):
        if isinstance(entry, Bad):
            building.refuse(f"{path}:{entry.where.removeprefix('line ')}", entry.why)
            continue
        line, text, category = entry
        try:
            key = _key_listed(text)
        except BadUrl as error:
            building.refuse(f"{path}:{line}", str(error))
        else:
            building.add(key, Word(clean_name(path.name), clean_name(category)))


_Entry = tuple[int, str, str]  # line, URL or host, category


def _urlhaus(path: Path) -> Iterator[_Entry | Bad]:
    for listed in urlhaus.read(path, Progress()):
        if isinstance(listed, Bad):
            yield listed
        elif "://" not in listed.url:
            yield Bad(f"line {listed.line}", f"{listed.url[:80]!r} is no URL: it has no http:// in front")
        else:
            yield listed.line, listed.url, listed.threat


def _plain(path: Path) -> Iterator[_Entry | Bad]:
    """Every line but empty ones and those that begin with "#"."""
    for number, line in lines(path, Progress()):
        if isinstance(line, Bad):
            yield line
            continue
        text = line.partition(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        if len(text.split()) > 1:
            yield Bad(f"line {number}", f"{text[:80]!r}: give one URL or host a line, without blanks")
        else:
            yield number, text, ""


def _key_listed(text: str) -> bytes:
    """What an entry is kept under. Raises BadUrl."""
    resource = parse_url(text)
    # "example.com" and "example.com:8080" differ: who names a port or a path means that.
    if "://" not in text and not set(text) & set("/\\?:@"):
        return _hash(f"h{resource.host}")
    return _hash(f"u{resource.whole}?{resource.query}" if resource.query else f"u{resource.whole}")


def _keys_asked(resource: WebResource) -> Iterator[bytes]:
    """What an address may stand under, the narrowest first."""
    if resource.query:
        yield _hash(f"u{resource.whole}?{resource.query}")
    yield _hash(f"u{resource.whole}")
    yield _hash(f"h{resource.host}")
    if not resource.is_address:
        _, dot, parent = resource.host.partition(".")
        while dot:
            yield _hash(f"h{parent}")
            _, dot, parent = parent.partition(".")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).digest()
