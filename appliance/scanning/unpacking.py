"""Reads the members of one container with libarchive: the only place that knows the library.

libarchive-c's high-level interface raises or logs the container's own text on warnings and drops
the data that came with them, so this stands on its bindings. Readers are enabled by name, as
`containers` lists them; none of them starts a program.

What is handed on even so: a member whose checksum is wrong, the beginning of one that breaks off,
and the members before the damage. Links are not followed; members that hold nothing are skipped.
"""

import ctypes
import errno
import mmap
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

from libarchive import ffi

from appliance.scanning.budget import Budget, TooLarge
from appliance.scanning.containers import Bytes, Kind
from appliance.scanning.engines.content import IN_MEMORY_BYTES, Content
from appliance.scanning.labels import member_path, printable, shortened

MAX_NAME_BYTES = 4096
EMPTY_BLOCKS_IN_A_ROW = 1000  # more is no progress
BAD_HEADERS_IN_A_ROW = 100
COMPRESSED_SUFFIXES = (b".gz", b".xz", b".zst", b".bz2", b".lzma", b".lz4", b".lz", b".Z")
OUT_OF_MEMORY = "unpacking it takes more memory than a worker may have (scanning.worker_memory_mib)"


class Encrypted(Exception):
    """A part of the container is protected by a password; what is not was handed on."""


class NotSupported(Exception):
    """A part is packed in a way that libarchive does not read, though others do. The rest was handed on."""


class Damaged(Exception):
    """A part of the container could not be read; the message is libarchive's. The rest was handed on."""


def library_version() -> str:
    """The version of libarchive in use, "3006002" for 3.6.2."""
    return str(ffi.version_number())


def members(content: Content, kind: Kind, budget: Budget) -> Generator[Content, None, None]:
    """Yield each member that holds something, in order; it is closed when the next is asked for.

    Raises TooLarge as soon as a limit of `budget` is reached; at the end Encrypted, NotSupported or
    Damaged, in this order, where a part could not be read. Close the iterator when leaving early.
    """
    encrypted, damage = False, ""
    for formats in (kind.formats, kind.fallback) if kind.fallback else (kind.formats,):
        with closing(_Archive(content.data, formats, kind.filters)) as archive:
            yield from _members(archive, content, budget)
            encrypted, damage = archive.encrypted(), archive.damage
            if archive.members or encrypted:
                break
    if encrypted:
        raise Encrypted("a part of it is protected by a password")
    if _is_unsupported(damage):
        raise NotSupported(damage)
    if damage:
        raise Damaged(damage)


def _members(archive: "_Archive", content: Content, budget: Budget) -> Iterator[Content]:
    while archive.next():
        budget.add_member()
        if archive.entry_encrypted():
            continue
        member = _read_member(archive, content, budget)
        if member is not None:
            with closing(member):
                yield member


def _read_member(archive: "_Archive", parent: Content, budget: Budget) -> Content | None:
    """Return what can be read of the open member, None for nothing."""
    raw_name = _uncompressed_name(parent.name) if archive.is_bare() else archive.entry_name()
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


class _Archive:
    """libarchive reading bytes that stand in memory. damage: the first thing that was wrong, else ""."""

    def __init__(self, data: Bytes, formats: tuple[str, ...], filters: tuple[str, ...]) -> None:
        self.members = 0
        self.damage = ""
        self._archive = ctypes.c_void_p(ffi.read_new())
        self._entry = ctypes.c_void_p(ffi.entry_new())
        # What libarchive reads from must live as long as it does; a mapping cannot close while this is held.
        self._held = ctypes.c_char.from_buffer(data) if isinstance(data, mmap.mmap) else data
        for name in filters:
            ffi.get_read_filter_function(name)(self._archive)
        for name in formats:
            ffi.get_read_format_function(name)(self._archive)
        address = self._held if isinstance(self._held, bytes) else ctypes.byref(self._held)
        self._open = _open_memory(self._archive, address, len(data)) >= ffi.ARCHIVE_WARN
        # libarchive allows no call after a fatal end, and some readers crash on one.
        self._over = not self._open

    def close(self) -> None:
        """Free everything."""
        _entry_free(self._entry)
        _read_free(self._archive)
        self._held = b""

    def next(self) -> bool:
        """Go to the next member; False at the end, and where nothing more can be read."""
        if not self._open:
            self._note_damage()
        if self._over:
            return False
        for _ in range(BAD_HEADERS_IN_A_ROW):
            status = _next_header(self._archive, self._entry)
            if status == ffi.ARCHIVE_EOF:
                return False
            if status >= ffi.ARCHIVE_WARN:
                self.members += 1
                return True
            self._note_damage()
            self._over = status == ffi.ARCHIVE_FATAL
            if self._over:
                return False
        return False

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """Yield (offset, address, size) of the open member's data; each holds until the next is asked for."""
        address, size, offset = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_longlong()
        empty = 0
        while empty < EMPTY_BLOCKS_IN_A_ROW:
            address.value, size.value = None, 0
            status = _read_block(
                self._archive, ctypes.byref(address), ctypes.byref(size), ctypes.byref(offset)
            )
            if status == ffi.ARCHIVE_EOF:
                return
            if status >= ffi.ARCHIVE_WARN and address.value and size.value:
                yield offset.value, address.value, size.value
                empty = 0
            else:
                empty += 1
            if status < ffi.ARCHIVE_OK:  # a warning: the data came, but its checksum is wrong
                self._note_damage()
                self._over = status == ffi.ARCHIVE_FATAL
                return
        self.damage = self.damage or "libarchive makes no progress in it"

    def encrypted(self) -> bool:
        """Whether libarchive has met anything that is protected by a password."""
        # Some readers only say it in words. Asked of an archive that did not open, libarchive 3.6.2 crashes.
        return (self._open and _has_encrypted(self._archive) == 1) or "ncrypt" in self.damage

    def entry_encrypted(self) -> bool:
        """Whether the data of the open member is protected by a password."""
        return bool(_entry_is_encrypted(self._entry))

    def entry_name(self) -> bytes:
        """The path of the open member as it stands in the container, at most MAX_NAME_BYTES; may be empty."""
        # libarchive turns names into the locale's encoding: workers run in C.UTF-8 for this (runtime.py).
        name: bytes = _pathname(self._entry) or _pathname_utf8(self._entry) or b""
        return name[:MAX_NAME_BYTES]

    def entry_size(self) -> int:
        """The size of the open member that the container claims, 0 where it claims none."""
        return max(0, int(_entry_size(self._entry)))

    def is_bare(self) -> bool:
        """Whether this is one compressed file, which has no name of its own."""
        return bool(_format_name(self._archive) == b"raw")

    def _note_damage(self) -> None:
        if _errno(self._archive) == errno.ENOMEM:
            raise TooLarge(OUT_OF_MEMORY)
        message = _error_string(self._archive) or b"libarchive gives no reason"
        self.damage = self.damage or shortened(printable(message[:400]), 200)


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


def _function(name: str, result: Any, *arguments: Any) -> Any:
    # Functions of our own: libarchive-c's would raise for a warning, or log it.
    function = ffi.libarchive["archive_" + name]
    function.argtypes = arguments
    function.restype = result
    return function


_VOID, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_open_memory = _function("read_open_memory", _INT, _VOID, _VOID, ctypes.c_size_t)
_next_header = _function("read_next_header2", _INT, _VOID, _VOID)
_read_block = _function("read_data_block", _INT, _VOID, _VOID, _VOID, _VOID)
_read_free = _function("read_free", _INT, _VOID)
_entry_free = _function("entry_free", None, _VOID)
_entry_is_encrypted = _function("entry_is_encrypted", _INT, _VOID)
_entry_size = _function("entry_size", ctypes.c_longlong, _VOID)
_pathname = _function("entry_pathname", _TEXT, _VOID)
_pathname_utf8 = _function("entry_pathname_utf8", _TEXT, _VOID)
_has_encrypted = _function("read_has_encrypted_entries", _INT, _VOID)
_format_name = _function("format_name", _TEXT, _VOID)
_error_string = _function("error_string", _TEXT, _VOID)
_errno = _function("errno", _INT, _VOID)
