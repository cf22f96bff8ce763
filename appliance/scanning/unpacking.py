"""Reads the members of one container, however it is packed, with `archive`.

What is handed on even so: a member whose checksum is wrong, the beginning of one that breaks off,
and the members before the damage. Links are not followed; members that hold nothing are skipped.
Nothing hides behind an end: of a tar all is read that follows its end mark, and what stands behind
the other kinds is looked at as `containers` says.
"""

import ctypes
import os
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial

from appliance.scanning.archive import Archive, Memory, Stream
from appliance.scanning.budget import Budget
from appliance.scanning.containers import ZIP_FROM_ITS_FRONT, Bytes, Kind, following
from appliance.scanning.engines.content import IN_MEMORY_BYTES, Content
from appliance.scanning.labels import member_path, printable
from appliance.scanning.salvage import as_it_is, end_of_zstd, inflated, salvaged
from appliance.scanning.zip_directory import DEFLATED, STORED, Directory, Entry, entries, holds_more

COMPRESSED_SUFFIXES = (b".gz", b".xz", b".zst", b".bz2", b".lzma", b".lz4", b".lz", b".Z")


class Encrypted(Exception):
    """A part of the container is protected by a password; what is not was handed on."""


class NotSupported(Exception):
    """A part is packed in a way that is not read here, though others do. The rest was handed on."""


class Damaged(Exception):
    """A part of the container could not be read; the message is libarchive's. The rest was handed on."""


_ORDER = (Encrypted, NotSupported, Damaged)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How it went to read one container. members: how many began. end: where it ends in the content."""

    members: int
    encrypted: bool
    damage: str
    goes_on: bool
    end: int


def members(content: Content, kind: Kind, budget: Budget) -> Generator[Content, None, None]:
    """Yield each member that holds something, in order; it is closed when the next is asked for.

    Raises TooLarge as soon as a limit of `budget` is reached; at the end Encrypted, NotSupported or
    Damaged, in this order, where a part could not be read. Close the iterator when leaving early.
    """
    waiting, known = [kind], {(kind.start, kind.name, kind.formats)}
    troubles: list[Encrypted | NotSupported | Damaged] = []
    while waiting:
        kind = waiting.pop(0)
        try:
            if kind.directory is not None:
                behind = yield from _members_by_directory(content, kind, kind.directory, budget)
            else:
                end = yield from _members_of_one(content, kind, budget)
                behind = following(content.data, end) if kind.goes_on else []
        except _ORDER as trouble:
            troubles.append(trouble)
            continue
        for each in behind:
            if (each.start, each.name, each.formats) not in known:
                known.add((each.start, each.name, each.formats))
                budget.add_member()
                waiting.append(each)
    if troubles:
        raise min(troubles, key=lambda trouble: _ORDER.index(type(trouble)))


def _members_of_one(content: Content, kind: Kind, budget: Budget) -> Generator[Content, None, int]:
    """Yield the members of the container of `kind`; return where it ends."""
    if kind.unreadable:
        raise NotSupported(kind.unreadable)
    reading = yield from _read(content, kind, budget)
    if reading.encrypted:
        raise Encrypted("a part of it is protected by a password")
    if _is_unsupported(reading.damage) or (kind.certain and reading.damage and not reading.members):
        raise NotSupported(reading.damage)
    if reading.damage:
        raise Damaged(reading.damage)
    if reading.goes_on:
        raise NotSupported("what is packed in it goes on behind its end")
    return reading.end


def _read(content: Content, kind: Kind, budget: Budget) -> Generator[Content, None, _Reading]:
    attempts = (kind.formats, kind.fallback) if kind.fallback else (kind.formats,)
    for formats in attempts:
        with closing(_opened(content.data, kind, formats, budget)) as archive:
            yield from _members(archive, content, budget)
            encrypted, damage = archive.encrypted(), archive.damage
            goes_on = not damage and archive.goes_on()
            reading = _Reading(archive.members, encrypted, damage, goes_on, kind.start + archive.taken())
            if archive.members or encrypted or formats is attempts[-1]:
                break
            archive.take_back()
    return reading


def _members_by_directory(
    content: Content, kind: Kind, directory: Directory, budget: Budget
) -> Generator[Content, None, list[Kind]]:
    """Yield the members of a zip; return how else it is to be read, since readers of streams see another."""
    reading = yield from _read(content, kind, budget)
    named = _entries(content.data, directory, budget)
    left = _not_read(named, reading)
    locked = reading.encrypted
    unread = reading.damage if _is_unsupported(reading.damage) else ""
    for entry in left:
        budget.add_member()
        locked = locked or entry.locked
        if entry.locked or not entry.packed:
            continue
        if entry.method not in (STORED, DEFLATED):
            unread = unread or f"method {entry.method}, which is not supported where headers disagree"
            continue
        with closing(_read_entry(entry, content, budget)) as member:
            if member.size:
                yield member
    behind: list[Kind] = []
    if kind.begins_as_zip and (holds_more(content.data, directory, named) or _disagree(named)):
        behind.append(ZIP_FROM_ITS_FRONT)
    if not (locked or unread or reading.damage):
        return behind
    for front in behind:
        with suppress(*_ORDER):
            yield from _members_of_one(content, front, budget)
    if locked:
        raise Encrypted("a part of it is protected by a password")
    raise NotSupported(unread) if unread else Damaged(reading.damage)


def _entries(data: Bytes, directory: Directory, budget: Budget) -> list[Entry]:
    """The members that a directory names, each place once, in the order in which they stand."""
    named: dict[tuple[int, int, int], Entry] = {}
    for entry in entries(data, directory):
        budget.add_entry()
        if entry is not None:
            named.setdefault((entry.at, entry.packed, entry.method), entry)
    return sorted(named.values(), key=lambda entry: entry.at)


def _disagree(named: list[Entry]) -> bool:
    return not all(entry.agrees for entry in named)


def _not_read(named: list[Entry], reading: _Reading) -> list[Entry]:
    """What libarchive has not read as the directory says: where it gave up, and where it believed others."""
    if reading.members < len({entry.at for entry in named}) and not reading.damage:
        return named
    known = max(0, reading.members - 1) if reading.damage else len(named)
    return [entry for number, entry in enumerate(named) if number >= known or not entry.agrees]


def _read_entry(entry: Entry, parent: Content, budget: Budget) -> Content:
    data = parent.data
    pieces = inflated if entry.method == DEFLATED else as_it_is
    with closing(_Collector()) as collector:
        for piece in pieces(data, entry.data, min(len(data), entry.data + entry.packed)):
            budget.add_bytes(len(piece), collector.size + len(piece))
            collector.add(piece)
        path = member_path(parent.member, printable(entry.name) or "unnamed")
        return collector.content(entry.name.rsplit(b"/", 1)[-1][:255], path)


def _opened(data: Bytes, kind: Kind, formats: tuple[str, ...], budget: Budget) -> Archive:
    start, filters = kind.start, kind.filters
    if not filters:
        end = kind.directory.end if kind.directory else len(data)
        return Archive(Memory(data, start, end), formats)
    end = end_of_zstd(data, start) if filters == ("zstd",) else len(data)
    packed = Archive(Memory(data, start, end), ("raw", "empty"), filters)
    return Archive(Stream(packed, budget, partial(salvaged, filters[0], data, start)), formats)


def _members(archive: Archive, content: Content, budget: Budget) -> Iterator[Content]:
    while archive.next():
        budget.add_member()
        if archive.entry_encrypted():
            continue
        member = _read_member(archive, content, budget)
        if member is not None:
            with closing(member):
                yield member


def _read_member(archive: Archive, parent: Content, budget: Budget) -> Content | None:
    """Return what can be read of the open member, None for nothing."""
    # The name of the file itself is a guest's word, and no part of the content.
    known_name = parent.name if parent.member else b""
    raw_name = _uncompressed_name(known_name) if archive.is_bare() else archive.entry_name()
    budget.add_bytes(0, archive.entry_size())
    with closing(_Collector()) as collector:
        for offset, address, size in archive.blocks():
            hole = max(0, offset - collector.size)
            budget.add_bytes(hole + size, collector.size + hole + size)
            collector.add_zeros(hole)
            collector.add(ctypes.string_at(address, size))
        if not collector.size:
            return None
        path = member_path(parent.member, printable(raw_name) or "unnamed")
        return collector.content(raw_name.rsplit(b"/", 1)[-1][:255], path)


def _is_unsupported(damage: str) -> bool:
    # libarchive gives the same error number for this as for damage, and different words.
    return "nsupported" in damage or "not supported" in damage


def _uncompressed_name(name: bytes) -> bytes:
    for suffix in COMPRESSED_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return b"content"


class _Collector:
    """Collects a member: in memory while it is small, in a file in memory of its own after that."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []
        self._fd = -1

    def add(self, data: bytes) -> None:
        """Append `data`."""
        self.size += len(data)
        self._parts.append(data)
        if self.size > IN_MEMORY_BYTES:
            if self._fd < 0:
                self._fd = os.memfd_create("member", os.MFD_CLOEXEC)
            for part in self._parts:
                view = memoryview(part)
                while view:
                    view = view[os.write(self._fd, view) :]
            self._parts.clear()

    def add_zeros(self, count: int) -> None:
        """Append `count` zero bytes: the hole of a sparse member."""
        while count:
            piece = min(count, IN_MEMORY_BYTES)
            self.add(bytes(piece))
            count -= piece

    def content(self, name: bytes, member: str) -> Content:
        """Hand over what was collected."""
        if self._fd < 0:
            return Content.of_bytes(b"".join(self._parts), name, member)
        fd, self._fd = self._fd, -1
        return Content.of_own_descriptor(fd, name, member)

    def close(self) -> None:
        """Give up what was collected and not handed over."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
