"""libarchive, reading one container: the only place that knows the library.

libarchive-c's high-level interface raises or logs the container's own text on warnings and drops
the data that came with them, so this stands on its bindings. Readers are enabled by name, as
`containers` lists them; none of them starts a program.

A container is read from memory, or from what a compressor packed: then one archive undoes the
compression and hands the blocks to a second one, so that all of it is counted and seen, also what
the second has no use for.
"""

import ctypes
import errno
import itertools
import mmap
from collections.abc import Callable, Generator, Iterator
from typing import Any

from libarchive import ffi

from appliance.scanning.budget import Budget, TooLarge
from appliance.scanning.containers import Bytes
from appliance.scanning.labels import printable, shortened

MAX_NAME_BYTES = 4096
EMPTY_BLOCKS_IN_A_ROW = 1000  # more is no progress
BAD_HEADERS_BEFORE_A_MEMBER = 100  # more, and it only looked like a container of that kind
OUT_OF_MEMORY = "unpacking it takes more memory than a worker may have (scanning.worker_memory_mib)"


def library_version() -> str:
    """The version of libarchive in use, "3006002" for 3.6.2."""
    return str(ffi.version_number())


class Memory:
    """Bytes that stand in memory, for an archive to read."""

    def __init__(self, data: Bytes, start: int, end: int) -> None:
        """Those from `start` to `end`."""
        self._size = end - start
        # What libarchive reads from must live as long as it does; a mapping cannot close while this is held.
        held = ctypes.c_char.from_buffer(data) if isinstance(data, mmap.mmap) else ctypes.c_char_p(data)
        self._held: object = held
        where = ctypes.byref(held) if isinstance(held, ctypes.c_char) else held
        self._address = (ctypes.cast(where, _VOID).value or 0) + start

    def open(self, archive: ctypes.c_void_p) -> int:
        """Have `archive` read it; libarchive's status."""
        status: int = _open_memory(archive, self._address, self._size)
        return status

    def close(self) -> None:
        """Let go of the bytes."""
        self._held = None


class Stream:
    """What a compressor packed, handed block by block to the archive that reads it, and counted."""

    def __init__(self, packed: "Archive", budget: Budget, salvaged: Callable[[int], Iterator[bytes]]) -> None:
        """packed: undoes the compression. salvaged: given how much came, the rest where `packed` gave up."""
        self.packed = packed
        self._salvaged = salvaged
        self._refused: Exception | None = None
        self._budget = budget
        self._given = 0
        self._address, self._size = 0, 0  # of the block that the reader has now
        self._blocks = self._all_blocks()
        self._callback = _READ(self._read)

    def open(self, archive: ctypes.c_void_p) -> int:
        """Have `archive` read it; libarchive's status."""
        status: int = _open_callbacks(archive, None, None, self._callback, None)
        return status

    def close(self) -> None:
        """Free everything."""
        self._callback = _READ()  # it holds on to this object
        self._blocks.close()
        self.packed.close()

    def check(self) -> None:
        """Raise what ended it, since no exception passes through libarchive."""
        if self._refused is not None:
            raise self._refused

    def has_more_than(self, taken: int) -> bool:
        """Whether anything but zeros comes behind the first `taken` bytes. Takes the rest."""
        unread = min(self._size, self._given - taken)
        self._address, self._size = self._address + self._size - unread, unread
        while ctypes.string_at(self._address, self._size) == bytes(self._size):
            if not self._next_block():
                return False
        return True

    def take_back(self) -> None:
        """Count nothing of it: it is going to be read anew."""
        self._budget.add_stream(-self._given)

    def _all_blocks(self) -> Generator[tuple[int, int, int], None, None]:
        if self.packed.next():
            yield from self.packed.blocks()
        if self.packed.damage:
            for piece in self._salvaged(self._given):
                yield 0, ctypes.cast(ctypes.c_char_p(piece), _VOID).value or 0, len(piece)

    def _next_block(self) -> int:
        _, self._address, self._size = next(self._blocks, (0, 0, 0))
        self._given += self._size
        self._budget.add_stream(self._size)
        return self._size

    def _read(self, _archive: object, _client: object, into: Any) -> int:
        """Give libarchive the next block, 0 at the end, -1 where there is a reason to stop."""
        try:
            size = self._next_block()
        except Exception as error:
            self._refused = error
            return -1
        into[0] = self._address
        return size


class Archive:
    """libarchive reading one container. members: how many have begun."""

    def __init__(
        self, source: Memory | Stream, formats: tuple[str, ...], filters: tuple[str, ...] = ()
    ) -> None:
        """formats, filters: names of libarchive's readers, as `containers` has them."""
        self.members = 0
        self._wrong = ""
        self._source = source
        self._stream = source if isinstance(source, Stream) else None
        self._archive = ctypes.c_void_p(ffi.read_new())
        self._entry = ctypes.c_void_p(ffi.entry_new())
        for name in filters:
            ffi.get_read_filter_function(name)(self._archive)
        for name in formats:
            ffi.get_read_format_function(name)(self._archive)
        if "tar" in formats:
            _set_format_option(self._archive, b"tar", b"read_concatenated_archives", b"1")
        self._open = source.open(self._archive) >= ffi.ARCHIVE_WARN
        # libarchive allows no call after a fatal end, and some readers crash on one.
        self._over = not self._open
        if self._open and filters and _filter_count(self._archive) < 2:
            # It would be read as it is, as if nothing were packed in it.
            self._over, self._wrong = True, "libarchive does not know this form of its compression"

    def close(self) -> None:
        """Free everything."""
        _entry_free(self._entry)
        _read_free(self._archive)
        self._source.close()

    def next(self) -> bool:
        """Go to the next member; False at the end, and where nothing more can be read."""
        if not self._open:
            self._checked(ffi.ARCHIVE_OK)
            self._note_damage()
        if self._over:
            return False
        before = -1
        for bad in itertools.count(1):
            status = self._checked(_next_header(self._archive, self._entry))
            if status == ffi.ARCHIVE_EOF:
                return False
            if status in (ffi.ARCHIVE_OK, ffi.ARCHIVE_WARN):
                self.members += 1
                return True
            self._note_damage()
            self._over = status == ffi.ARCHIVE_FATAL
            no_progress = self._position() == before
            if self._over or no_progress or (not self.members and bad == BAD_HEADERS_BEFORE_A_MEMBER):
                return False
            before = self._position()
        raise AssertionError  # the loop ends by itself only

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """Yield (offset, address, size) of the open member's data; each holds until the next is asked for."""
        address, size, offset = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_longlong()
        empty = 0
        while empty < EMPTY_BLOCKS_IN_A_ROW:
            address.value, size.value = None, 0
            status = self._checked(
                _read_block(self._archive, ctypes.byref(address), ctypes.byref(size), ctypes.byref(offset))
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
        self._wrong = self._wrong or "libarchive makes no progress in it"

    @property
    def damage(self) -> str:
        """The first thing that was wrong with it, "" for nothing."""
        return (self._stream.packed.damage if self._stream else "") or self._wrong

    def goes_on(self) -> bool:
        """Whether a compressor packed more than was read as a container, zeros aside. Reads the rest."""
        return self._stream is not None and self._stream.has_more_than(self._position())

    def taken(self) -> int:
        """How many bytes of the memory it was read from belong to it, where it was not damaged."""
        return self._stream.packed.taken() if self._stream else self._position()

    def take_back(self) -> None:
        """Count nothing of what a compressor packed: it is going to be read anew."""
        if self._stream:
            self._stream.take_back()

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

    def _position(self) -> int:
        return int(_filter_bytes(self._archive, -1))  # of what it was given; -1 where it did not open

    def _checked(self, status: int) -> int:
        """Return the status of a call into libarchive, or raise what ended the stream within it."""
        if self._stream:
            self._stream.check()
        return status

    def _note_damage(self) -> None:
        if _errno(self._archive) == errno.ENOMEM:
            raise TooLarge(OUT_OF_MEMORY)
        message = _error_string(self._archive) or b"libarchive gives no reason"
        self._wrong = self._wrong or shortened(printable(message[:400]), 200)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    # Functions of our own: libarchive-c's would raise for a warning, or log it.
    function = ffi.libarchive["archive_" + name]
    function.argtypes = arguments
    function.restype = result
    return function


_VOID, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_open_memory = _function("read_open_memory", _INT, _VOID, _VOID, ctypes.c_size_t)
_READ = ctypes.CFUNCTYPE(ctypes.c_ssize_t, _VOID, _VOID, ctypes.POINTER(_VOID))
_open_callbacks = _function("read_open", _INT, _VOID, _VOID, _VOID, _READ, _VOID)
_set_format_option = _function("read_set_format_option", _INT, _VOID, _TEXT, _TEXT, _TEXT)
_filter_count = _function("filter_count", _INT, _VOID)
_filter_bytes = _function("filter_bytes", ctypes.c_longlong, _VOID, _INT)
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
