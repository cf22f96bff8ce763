"""What the last scan of a machine read: where its files lay and their SHA-256, in one file of the state.

    scans/UUID.scan   MAGIC, bytes of the head (u32, little endian), the head in JSON, records, their SHA-256
    scans/UUID.lock   locked by whoever scans the machine while it runs, see `turn`

The head is a `Base`. Records are as `disk_reader.protocol` has them. A file is written whole or not at all.
"""

import hashlib
import heapq
import json
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from appliance.disk_reader.protocol import LAYOUT_BYTES, RECORD_BYTES
from appliance.durable import sync_directory
from appliance.hypervisor.files import StateUnusable

MOST_RECORDS: Final = 10_000_000
_MAGIC: Final = b"kvm-light-agent scan 1\n"
_LENGTH: Final = struct.Struct("<I")
_MAX_HEAD_BYTES: Final = 1 << 20
_SUM_BYTES: Final = 32
_AT_ONCE: Final = 100_000  # records that are sorted in memory
_CHUNK: Final = 1 << 20


class Damaged(Exception):
    """What is kept of a scan cannot be used. The message says why."""


@dataclass(frozen=True, slots=True)
class DiskKept:
    """A disk as it was scanned. target: its name in the machine. path: of what the machine writes to.

    under: what lies under that, the nearest first: path, inode, bytes, and when it was written to (ns).
    """

    target: str
    path: str
    under: tuple[tuple[str, int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """Of which moment the records are. checkpoint: of libvirt; bitmaps have its name. disks: that have one.

    reader: versions of what read them.
    """

    checkpoint: str
    reader: str
    disks: tuple[DiskKept, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """An open file of records. fd: closed with the stack that it was opened for."""

    base: Base
    fd: int
    offset: int
    count: int

    def told(self) -> dict[str, Any]:
        """As `disk-reader` is told of it."""
        return {"fd": self.fd, "offset": self.offset, "count": self.count}


def opened(path: Path, stack: ExitStack) -> Kept | None:
    """Open what is kept, checked to its end; None where nothing is. Raises Damaged and StateUnusable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    stack.callback(partial(os.close, fd))
    try:
        size = os.fstat(fd).st_size
        if size > len(_MAGIC) + _LENGTH.size + _MAX_HEAD_BYTES + MOST_RECORDS * RECORD_BYTES + _SUM_BYTES:
            raise Damaged("it is longer than it can be")
        if _sum(fd, size - _SUM_BYTES) != os.pread(fd, _SUM_BYTES, max(0, size - _SUM_BYTES)):
            raise Damaged("its checksum is wrong")
        return _parsed(fd, size - _SUM_BYTES)
    except OSError as error:
        raise _unusable(path, error) from error
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise Damaged(f"it is of another form ({type(error).__name__})") from error


def base_of(path: Path) -> Base:
    """Of which moment the records in a file are, unchecked. Raises Damaged and StateUnusable."""
    with ExitStack() as stack:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            stack.callback(partial(os.close, fd))
            return _parsed(fd, os.fstat(fd).st_size - _SUM_BYTES).base
        except OSError as error:
            raise _unusable(path, error) from error
        except (ValueError, TypeError, KeyError, struct.error) as error:
            raise Damaged(f"it is of another form ({type(error).__name__})") from error


def _parsed(fd: int, end: int) -> Kept:
    at = len(_MAGIC)
    if os.pread(fd, at, 0) != _MAGIC:
        raise Damaged("it is of another version")
    length = _LENGTH.unpack(os.pread(fd, _LENGTH.size, at))[0]
    if length > _MAX_HEAD_BYTES:
        raise Damaged("its head is too long")
    head = json.loads(os.pread(fd, length, at + _LENGTH.size))
    disks = tuple(
        DiskKept(each["target"], each["path"], tuple(tuple(layer) for layer in each["under"]))
        for each in head["disks"]
    )
    offset = at + _LENGTH.size + length
    count, rest = divmod(end - offset, RECORD_BYTES)
    if rest or count < 0:
        raise Damaged("it has a part of a record")
    return Kept(Base(head["checkpoint"], head["reader"], disks), fd, offset, count)


def _sum(fd: int, end: int) -> bytes:
    sha256, at = hashlib.sha256(), 0
    while at < end and (data := os.pread(fd, min(_CHUNK, end - at), at)):
        sha256.update(data)
        at += len(data)
    return sha256.digest()


class Recording:
    """Records of a scan that goes on, in a file without a name, so that a scan that is killed leaves none."""

    def __init__(self, path: Path) -> None:
        """path: where they are to be in the end. Raises StateUnusable."""
        self._path = path
        self._some: list[bytes] = []
        self._parts: list[tuple[int, int]] = []
        self._count = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._spill: IO[bytes] = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115  # closed by `close`
        except OSError as error:
            raise _unusable(path, error) from error

    def add(self, layout: bytes, sha256: bytes) -> None:
        """Take a record; beyond the bound none is, and such files are read again. Raises StateUnusable."""
        if self._count >= MOST_RECORDS:
            return
        self._count += 1
        self._some.append(layout + sha256)
        if len(self._some) >= _AT_ONCE:
            self._sort()

    def _sort(self) -> None:
        self._some.sort()
        try:
            at = self._spill.seek(0, os.SEEK_END)
            self._spill.writelines(self._some)
            self._spill.flush()
        except OSError as error:
            raise _unusable(self._path, error) from error
        self._parts.append((at, len(self._some)))
        self._some = []

    def finish(self, base: Base) -> None:
        """Have them on the disk, in place of those that were there. Raises StateUnusable."""
        self._sort()
        parts = [_records(self._spill.fileno(), at, count) for at, count in self._parts]
        new = self._path.with_name(f".{self._path.name}.new")
        try:
            with _fresh(new) as file:
                _write(file, base, _each_once(heapq.merge(*parts)))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise _unusable(self._path, error) from error

    def close(self) -> None:
        """Give the room back; what a full disk did not take is tried once more by that, and is not wanted."""
        with suppress(OSError):
            self._spill.close()


def _fresh(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    return open(os.open(path, flags, 0o600), "wb")


def _records(fd: int, at: int, count: int) -> Iterator[bytes]:
    end, step = at + count * RECORD_BYTES, 4096 * RECORD_BYTES
    for begin in range(at, end, step):
        data = os.pread(fd, min(step, end - begin), begin)
        for start in range(0, len(data), RECORD_BYTES):
            yield data[start : start + RECORD_BYTES]


def _each_once(records: Iterable[bytes]) -> Iterator[bytes]:
    """One record of each layout; none of one that was read as two contents, which cannot be."""
    held, good = b"", False
    for record in records:
        if held[:LAYOUT_BYTES] == record[:LAYOUT_BYTES]:
            good = good and held == record
            continue
        if good:
            yield held
        held, good = record, True
    if good:
        yield held


def _write(file: IO[bytes], base: Base, records: Iterator[bytes]) -> None:
    head = json.dumps(asdict(base), separators=(",", ":")).encode()
    sha256 = hashlib.sha256()
    first = _MAGIC + _LENGTH.pack(len(head)) + head
    while first:
        file.write(first)
        sha256.update(first)
        first = b"".join(islice(records, 4096))
    file.write(sha256.digest())


def _unusable(path: Path, error: OSError) -> StateUnusable:
    return StateUnusable(f"{path}: {error.strerror or error}; see that svm-host may write there, and of room")
