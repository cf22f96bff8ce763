"""Reads the members of one container, however it is packed, with `archive`.

What is handed on even so: a member whose checksum is wrong, the beginning of one that breaks off,
and the members before the damage. Links are not followed; members that hold nothing are skipped.
Nothing hides behind an end: of a tar all is read that follows its end mark, and what stands behind
the other kinds is looked at as `containers` says.
"""

import ctypes
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial

from appliance.scanning.archive import Archive, Memory, Stream
from appliance.scanning.budget import Budget
from appliance.scanning.containers import Bytes, Kind, following
from appliance.scanning.engines.content import IN_MEMORY_BYTES, Content
from appliance.scanning.labels import member_path, printable
from appliance.scanning.salvage import end_of_zstd, salvaged

COMPRESSED_SUFFIXES = (b".gz", b".xz", b".zst", b".bz2", b".lzma", b".lz4", b".lz", b".Z")


class Encrypted(Exception):
    """A part of the container is protected by a password; what is not was handed on."""


class NotSupported(Exception):
    """A part is packed in a way that libarchive does not read, though others do. The rest was handed on."""


class Damaged(Exception):
    """A part of the container could not be read; the message is libarchive's. The rest was handed on."""


def members(content: Content, kind: Kind, budget: Budget) -> Generator[Content, None, None]:
    """Yield each member that holds something, in order; it is closed when the next is asked for.

    Raises TooLarge as soon as a limit of `budget` is reached; at the end Encrypted, NotSupported or
    Damaged, in this order, where a part could not be read. Close the iterator when leaving early.
    """
    start = 0
    while True:
        end = yield from _members_from(start, content, kind, budget)
        behind = following(content.data, end) if kind.goes_on else None
        if behind is None:
            return
        start, kind = behind
        budget.add_member()


def _members_from(start: int, content: Content, kind: Kind, budget: Budget) -> Generator[Content, None, int]:
    """Yield the members of the container that begins at `start`; return where it ends."""
    attempts = (kind.formats, kind.fallback) if kind.fallback else (kind.formats,)
    for formats in attempts:
        with closing(_opened(content.data, start, kind.filters, formats, budget)) as archive:
            yield from _members(archive, content, budget)
            encrypted, damage = archive.encrypted(), archive.damage
            goes_on = not damage and archive.goes_on()
            end = start + archive.taken()
            if archive.members or encrypted or formats is attempts[-1]:
                break
            archive.take_back()
    if encrypted:
        raise Encrypted("a part of it is protected by a password")
    if _is_unsupported(damage):
        raise NotSupported(damage)
    if damage:
        raise Damaged(damage)
    if goes_on:
        raise NotSupported("what is packed in it goes on behind its end")
    return end


def _opened(
    data: Bytes, start: int, filters: tuple[str, ...], formats: tuple[str, ...], budget: Budget
) -> Archive:
    if not filters:
        return Archive(Memory(data, start, len(data)), formats)
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
