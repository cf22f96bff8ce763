"""Lists of digests: ClamAV's and plain ones, hundreds of thousands of lines in little memory.

SHA-256 is at hand for whole files; MD5 and SHA-1 are computed only where a list of that kind has an
entry of the file's size, or one for any size.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import xxhash

from appliance.config import EngineSettings
from appliance.domain.verdict import Detection
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import EngineBuild, fingerprint
from appliance.scanning.engines.hashlines import DIGEST_KINDS, BadLine, LineReader, reader_for
from appliance.scanning.engines.hashtable import (
    HashTable,
    NameHeap,
    name_at,
    pack,
    record,
)
from appliance.scanning.engines.sources import (
    SHIPPED,
    Problems,
    files_below,
    open_source,
    shown,
    unread,
)
from appliance.scanning.result import SignatureSource

NAME = "hashlist"
VERSION = "1"
MAX_LIST_BYTES = 512 * 1024 * 1024
MAX_ENTRIES = 20_000_000  # of all lists together
NAMES_SECTION = "hashlist.names"


def build(settings: EngineSettings) -> EngineBuild:
    """Read the shipped lists and those of the operator, and pack them."""
    directories = [SHIPPED / "hashes"] if settings.hashlist.shipped else []
    return build_lists([*directories, *settings.hashlist.dirs])


def build_lists(directories: Iterable[Path]) -> EngineBuild:
    """Read every list below `directories`. What is wrong stands in the sources; the rest counts."""
    builder = _Builder()
    for directory in directories:
        files, troubles = files_below(NAME, directory, lambda name: reader_for(name) is not None)
        builder.sources += troubles
        for path in files:
            builder.read(path)
    return builder.finish()


class _Builder:
    """Collects the records of all lists."""

    def __init__(self) -> None:
        self.sources: list[SignatureSource] = []
        self._contents: list[bytes] = []
        self._names = NameHeap()
        self._total = 0
        self._records: dict[int, list[bytes]] = {digits // 2: [] for digits in DIGEST_KINDS}

    def read(self, path: Path) -> None:
        """Read one list."""
        reader = reader_for(path.name)
        if reader is None:
            return
        problems = Problems()
        try:
            count = self._read_lines(path, reader, problems)
        except OSError as error:
            self.sources.append(unread(NAME, path, error.strerror or str(error)))
        else:
            self.sources.append(SignatureSource(NAME, shown(path), count, problems.all()))

    def finish(self) -> EngineBuild:
        """Sort and pack what was read."""
        sections = {NAMES_SECTION: self._names.packed()}
        for digits, kind in DIGEST_KINDS.items():
            records, sizes = pack(self._records.pop(digits // 2), digits // 2)
            sections[f"hashlist.{kind}.records"] = records
            sections[f"hashlist.{kind}.sizes"] = sizes
        return EngineBuild(NAME, VERSION, fingerprint(self._contents), tuple(self.sources), sections)

    def _read_lines(self, path: Path, reader: LineReader, problems: Problems) -> int:
        count = 0
        # What a line means depends on the suffix, so that is content too; the rest of the path is not.
        content = xxhash.xxh3_128(path.suffix.lower().encode())
        with open_source(path, MAX_LIST_BYTES) as file:
            for number, raw in enumerate(file, 1):
                content.update(raw)
                line = raw.strip()
                if not line or line.startswith(b"#"):
                    continue
                if self._total >= MAX_ENTRIES:
                    problems.add(f"{shown(path)}:{number}", f"over {MAX_ENTRIES} entries in all: not read on")
                    break
                try:
                    listed = reader(line)
                    name = self._names.add(listed.disposition, listed.name)
                except BadLine as error:
                    problems.add(f"{shown(path)}:{number}", str(error))
                    continue
                self._records[len(listed.digest)].append(record(listed.digest, listed.size, name))
                count += 1
                self._total += 1
        self._contents.append(content.digest())
        return count


class HashlistEngine:
    """Looks digests up in the packed tables."""

    name = NAME
    version = VERSION
    unpacks = False

    def __init__(self, sections: Mapping[str, memoryview]) -> None:
        """Take the sections of a build."""
        self._names = sections[NAMES_SECTION]
        self._md5 = self._table(sections, 32)
        self._sha1 = self._table(sections, 40)
        self._sha256 = self._table(sections, 64)

    def scan(self, content: Content) -> list[Detection]:
        """Return the names that the lists have for this content, one for each kind of digest at most."""
        size = content.size
        found = []
        if self._sha256.has_size(size):
            found.append(self._sha256.find(content.sha256, size))
        if self._sha1.has_size(size):
            found.append(self._sha1.find(content.sha1, size))
        if self._md5.has_size(size):
            found.append(self._md5.find(content.md5, size))
        return [self._detection(offset, content.member) for offset in found if offset is not None]

    def _detection(self, offset: int, member: str) -> Detection:
        disposition, threat = name_at(self._names, offset)
        return Detection(threat, NAME, member, disposition)

    @staticmethod
    def _table(sections: Mapping[str, memoryview], digits: int) -> HashTable:
        kind = DIGEST_KINDS[digits]
        return HashTable(
            sections[f"hashlist.{kind}.records"], sections[f"hashlist.{kind}.sizes"], digits // 2
        )
