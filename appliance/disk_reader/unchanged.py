"""Which files are as they were at an earlier scan: by where they lie, and by what was written to since.

What a file's bytes are is decided by the places that they lie in, in their order, by how many there are, and
by what is on the disk there. So a file whose places are those of one that was read, none of which was written
to since, has the same bytes: whatever its name is now, and whatever a guest did to directories and inodes.
Where places do not say it all (data within an inode, compressed, spread too wide) the file is read.
"""

import hashlib
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from appliance.disk_reader.dirty import Dirty
from appliance.disk_reader.protocol import DIGEST_BYTES, LAYOUT_BYTES, RECORD_BYTES
from appliance.disk_reader.trees.tree import Content, Run
from appliance.disk_reader.volume import Piece, within

_MOST_STEPS: Final = 65_536  # for one file: parts of it, times pieces of its volume
_ZEROS: Final = -1
_HEAD, _PLACE = struct.Struct("<16sQ"), struct.Struct("<qQQ")

Place = tuple[int, int, int]  # number of the disk, -1 for zeros; where on it; how many bytes


@dataclass(frozen=True, slots=True)
class Tracked:
    """A disk whose changes are followed. number: by which places name it, the same at each scan.

    dirty: what was written to since the scan before; None: anything may have been.
    """

    number: int
    dirty: Dirty | None


class Known:
    """What was read before: layouts and digests in a file, by layout, read where it lies."""

    def __init__(self, fd: int, offset: int, count: int) -> None:
        """offset: where in the file the first record is; count: of records. Raises OSError, ValueError."""
        self._map = mmap.mmap(fd, offset + count * RECORD_BYTES, access=mmap.ACCESS_READ)
        self._offset = offset
        self._count = count

    def digest(self, layout: bytes) -> bytes | None:
        """The SHA-256 of what had a layout, None where nothing had."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            at = self._offset + middle * RECORD_BYTES
            here = self._map[at : at + LAYOUT_BYTES]
            if here == layout:
                return self._map[at + LAYOUT_BYTES : at + LAYOUT_BYTES + DIGEST_BYTES]
            if here < layout:
                low = middle + 1
            else:
                high = middle
        return None


class Unchanged:
    """Tells layouts of files, and the digests of those that are as they were."""

    def __init__(self, disks: Sequence[Tracked | None], known: Known | None) -> None:
        """disks: in the order that pieces of volumes number them; None for one that is not followed."""
        self._disks = disks
        self._by_number = {disk.number: disk for disk in disks if disk is not None}
        self._known = known

    def layout(self, kind: str, pieces: tuple[Piece, ...], content: Content) -> bytes | None:
        """The key of where a file lies, None where that does not say all. kind: its file system's."""
        places = self._places(content.runs, pieces)
        return None if places is None else layout_of(kind, content.size, places)

    def digest(self, kind: str, pieces: tuple[Piece, ...], content: Content) -> bytes | None:
        """The SHA-256 of a file that is as it was when it was read, None where it has to be read."""
        if self._known is None:
            return None
        places = self._places(content.runs, pieces)
        if places is None or any(map(self._may_differ, places)):
            return None
        return self._known.digest(layout_of(kind, content.size, places))

    def _may_differ(self, place: Place) -> bool:
        number, begin, length = place
        if number == _ZEROS:
            return False
        dirty = self._by_number[number].dirty
        return dirty is None or dirty.touches(begin, length)

    def _places(self, runs: tuple[Run, ...] | None, pieces: tuple[Piece, ...]) -> list[Place] | None:
        if runs is None or len(runs) * max(1, len(pieces)) > _MOST_STEPS or not self._by_number:
            return None
        found: list[Place] = []
        for at, length in runs:
            if at is None:
                found.append((_ZEROS, 0, length))
                continue
            left = length
            for size, index, begin in within(pieces, at, length):
                disk = self._disks[index]
                if disk is None:
                    return None
                found.append((disk.number, begin, size))
                left -= size
            if left:
                return None  # it reaches beyond its volume
        return found


def layout_of(kind: str, size: int, places: Sequence[Place]) -> bytes:
    """A key: the same for the same places in the same order and as many bytes, and for no others."""
    sha256 = hashlib.sha256(_HEAD.pack(kind.encode(), size))
    for place in places:
        sha256.update(_PLACE.pack(*place))
    return sha256.digest()
