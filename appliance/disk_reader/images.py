"""Disks as they lie in files: layer over layer, raw, qcow2 or vmdk, each as one stream."""

import os
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO, cast

from dissect.hypervisor.disk.c_qcow2 import UNALLOCATED_SUBCLUSTER_TYPES, ZERO_SUBCLUSTER_TYPES
from dissect.hypervisor.disk.qcow2 import QCow2, QCow2Stream
from dissect.hypervisor.disk.vmdk import SparseDisk
from dissect.util.stream import AlignedStream

from appliance.disk_reader.files import FileStream, next_data
from appliance.disk_reader.nbd import NbdStream

_ALIGN = 64 << 10
_SECTOR = 512
# Of the directory of a sparse vmdk: 4 bytes stand for a table of 512 grains, of 64 KiB each.
_ENTRY_BYTES, _ENTRY_SECTORS = 4, 512 * 128


class NoImage(Exception):
    """What is given is no disk that can be read. The text says why."""


class _Backing:
    """What lies under a layer; beyond its end there are zeros."""

    def __init__(self, under: BinaryIO) -> None:
        self._under = under
        self._size = under.seek(0, os.SEEK_END)

    def seek(self, to: int) -> int:
        """Go somewhere."""
        return self._under.seek(to)

    def read(self, size: int) -> bytes:
        """So many bytes, always."""
        return self._under.read(size).ljust(size, b"\0")

    def next_data(self, at: int) -> int:
        """Where the next byte is that may be no zero."""
        found = next_data(self._under, at)
        return found if found < self._size else sys.maxsize


class _Qcow2(QCow2Stream):  # type: ignore[misc]  # the library has no types
    """A qcow2 that knows where it is empty."""

    def next_data(self, at: int) -> int:
        """Where the next byte is that may be no zero; its size where there is none."""
        image = self.qcow2
        for kind, offset, _, length in self._yield_runs(at, self.size - at):
            if kind in UNALLOCATED_SUBCLUSTER_TYPES and image.has_backing_file:
                if (found := int(image.backing_file.next_data(offset))) < offset + length:
                    return found
            elif kind not in UNALLOCATED_SUBCLUSTER_TYPES and kind not in ZERO_SUBCLUSTER_TYPES:
                return int(offset)
        return int(self.size)


class _Flat:
    """An extent of a vmdk disk that lies in a file as it is. start: where in it, in sectors."""

    def __init__(self, file: FileStream, sectors: int, start: int) -> None:
        self.sector_count = sectors
        self._file = file
        self._start = start

    def read_sectors(self, sector: int, count: int) -> bytes:
        """Its sectors."""
        self._file.seek((self._start + sector) * _SECTOR)
        return self._file.read(count * _SECTOR).ljust(count * _SECTOR, b"\0")


class _Vmdk(AlignedStream):  # type: ignore[misc]  # the library has no types
    """Extents of one vmdk disk, one behind the other."""

    def __init__(self, extents: Sequence[Any]) -> None:
        self._extents = extents
        super().__init__(sum(extent.sector_count for extent in extents) * _SECTOR, _ALIGN)

    def _read(self, offset: int, length: int) -> bytes:
        sector, left = offset // _SECTOR, (min(length, self.size - offset) + _SECTOR - 1) // _SECTOR
        parts: list[bytes] = []
        for extent in self._extents:
            if sector < extent.sector_count and left:
                count = min(left, extent.sector_count - sector)
                parts.append(extent.read_sectors(sector, count))
                sector, left = sector + count, left - count
            sector -= extent.sector_count
        return b"".join(parts)


def open_disk(layers: Sequence[dict[str, Any]]) -> BinaryIO:
    """One disk. layers: the lowest first; each with its `format` and its descriptors `fds`.

    Raises NoImage, and whatever a parser raises that meets a damaged one.
    """
    if not layers:
        raise NoImage("no layer is given")
    disk: BinaryIO | None = None
    for layer in layers:
        disk = _layer(layer, disk)
    assert disk is not None
    return disk


def _layer(layer: dict[str, Any], under: BinaryIO | None) -> BinaryIO:
    if layer["format"] == "nbd":
        return cast(BinaryIO, NbdStream(layer["fds"][0], layer["export"]))
    files = [FileStream(fd) for fd in layer["fds"]]
    if layer["format"] == "raw":
        return cast(BinaryIO, files[0])
    if layer["format"] == "vmdk":
        extents = zip(files, layer["extents"], strict=True)
        return cast(BinaryIO, _Vmdk([_extent(file, *said) for file, said in extents]))
    if layer["format"] != "qcow2":
        raise NoImage(f"the format {layer['format']} is not known")
    image = QCow2(cast(BinaryIO, files[0]), allow_no_backing_file=True)
    if image.has_subclusters:  # which the library reads without an end
        raise NoImage("it has extended_l2, which is not read")
    # Not given to the parser, which would look for yet another qcow2 in what a guest has written.
    image.backing_file = None if under is None else _Backing(under)
    if image.needs_backing_file and under is None:
        raise NoImage("the file under it is not given")
    return cast(BinaryIO, _Qcow2(image))


def _extent(file: FileStream, kind: str, sectors: int, start: int) -> Any:
    """kind: "sparse" or "flat". start: of a flat one in its file, in sectors.

    Raises NoImage for one that says it is larger than its file can have, by which all else is bounded.
    """
    if kind == "sparse":
        sparse = SparseDisk(file)
        most = file.size // _ENTRY_BYTES * _ENTRY_SECTORS
        if sparse.sector_count > most:
            raise NoImage(f"an extent of {sparse.sector_count:,} sectors cannot lie in {file.size:,} bytes")
        return sparse
    if start + sectors > -(-file.size // _SECTOR):
        raise NoImage(
            f"an extent has {sectors:,} sectors from {start:,} on, and its file {file.size:,} bytes"
        )
    return _Flat(file, sectors, start)
