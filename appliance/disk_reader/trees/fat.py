"""FAT12, FAT16 and FAT32. Directories by the library; chains of clusters here: they may run in a ring."""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from dissect.fat import FATFS
from dissect.fat.c_fat import Fattype, c_fat
from dissect.fat.exceptions import EmptyDirectoryError, LastEmptyDirectoryError
from dissect.fat.fat import FAT, DirectoryEntry

from appliance.disk_reader.trees.tree import Content, Node, Run, Wrong, by_runs, checked_runs

_LAST: Final = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}  # from here on no cluster follows; this one is bad
_MOST_DIRECTORY_BYTES: Final = 64 << 20
_LARGEST_DIRECTORY_BYTES: Final = 2 << 20  # that may be, by the format
_ENTRY_BYTES: Final = 32
_READ: Final = 64 << 10
_ZEROS: Final = bytes(_READ)
_SMALL_BASE, _SMALL_EXTENSION = 0x08, 0x10


class FatTree:
    """A file system on a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._fs = FATFS(stream)
        self._settle_kind(stream)
        self._stream = stream
        self._cluster = int(self._fs.cluster_size)
        self._data = int(self._fs.first_data_sector) * int(self._fs.sector_size)

    def _settle_kind(self, stream: BinaryIO) -> None:
        """FAT32 is what says so, as Linux goes; the library goes by the number of clusters alone."""
        fs = self._fs
        if (fs.type == Fattype.FAT32) == (not fs.bpb.BPB_FATSz16):
            return
        if fs.bpb.BPB_FATSz16:
            raise Wrong("it has more clusters than a FAT of its kind can have")
        stream.seek(len(c_fat.Bpb))
        fs.type, fs.bpb_ext = Fattype.FAT32, c_fat.Bpb32(stream)
        fs.fat = FAT(fs.fat.fh, fs.type)

    def root(self) -> Node:
        """Its root directory."""
        return Node("", 0, True, self._fs.root)

    def children(self, node: Node) -> Iterator[Node | str]:
        """What stands in a directory."""
        stream, whole = self._directory(node.thing)
        if not whole:
            yield "its chain of clusters runs in a ring, or is longer than that of any directory"
        for number, entry in enumerate(self._entries(stream)):
            is_itself = bytes(entry.dirent.DIR_Name).rstrip() in (b"", b".", b"..") and not entry.ldirents
            if entry.is_volume_id() or is_itself:
                continue
            is_directory = bool(entry.is_directory())
            key = self._first(entry) if is_directory else (node.key, number)
            yield Node(_name_of(entry), key, is_directory, entry)

    def _entries(self, stream: BinaryIO) -> Iterator[Any]:
        """Each entry that is in use. Linux reads on behind the mark of the end; the library does not."""
        while True:
            try:
                yield DirectoryEntry(self._fs, stream)
            except EmptyDirectoryError:
                continue
            except LastEmptyDirectoryError:
                at = stream.tell()
                while (data := stream.read(_READ)) and data == _ZEROS[: len(data)]:
                    at += len(data)
                stream.seek(at + (len(data) - len(data.lstrip(b"\0"))) // _ENTRY_BYTES * _ENTRY_BYTES)
            except EOFError:
                return

    def _directory(self, entry: Any) -> tuple[BinaryIO, bool]:
        """The bytes of a directory, and whether these are all of it."""
        if entry is self._fs.root and not self._fs.root.cluster:
            return self._fs.root.open(), True
        cluster = int(entry.cluster) if entry is self._fs.root else self._first(entry)
        runs = self._runs(cluster, _MOST_DIRECTORY_BYTES)
        size = sum(length for _, length in runs)
        is_ring = len({at for at, _ in runs}) < len(runs)
        if is_ring:
            size = min(size, _LARGEST_DIRECTORY_BYTES)
        stream = by_runs(self._stream, tuple(runs), size, self._cluster)
        return stream, not is_ring and size < _MOST_DIRECTORY_BYTES

    def _first(self, entry: Any) -> int:
        """The first cluster of what an entry leads to. The upper half of its number is of FAT32 alone."""
        low = int(entry.dirent.DIR_FstClusLO)
        return low | (int(entry.dirent.DIR_FstClusHI) << 16 if self._fs.type == Fattype.FAT32 else 0)

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        size, cluster = int(node.thing.dirent.DIR_FileSize), self._first(node.thing)
        runs = self._runs(cluster, size) if size else []
        if sum(length for _, length in runs) < size:
            raise Wrong("its chain of clusters ends too early")
        kept = checked_runs(runs, size, self._cluster)
        yield Content("", size, lambda: by_runs(self._stream, kept, size, self._cluster), kept)

    def _runs(self, cluster: int, most: int) -> list[Run]:
        """Where a chain of clusters lies, as far as so many bytes."""
        fat = self._fs.fat
        last, runs, bytes_left = _LAST[fat.bits_per_entry], list[Run](), most
        while bytes_left > 0:
            if not 2 <= cluster < min(last, fat.entry_count):
                raise Wrong("its chain of clusters is damaged")
            at = self._data + (cluster - 2) * self._cluster
            if runs and runs[-1][0] is not None and runs[-1][0] + runs[-1][1] == at:
                runs[-1] = (runs[-1][0], runs[-1][1] + self._cluster)
            else:
                runs.append((at, self._cluster))
            bytes_left -= self._cluster
            cluster = fat.get(cluster)
            if cluster > last:
                break
        return runs


def _name_of(entry: Any) -> str:
    """The long name, else the short one in small letters where it says so."""
    if entry.ldirents:
        return str(entry.name).rstrip("\0")
    base, dot, extension = str(entry.short_name).partition(".")
    said = int(entry.dirent.DIR_NTRes)
    base = base.lower() if said & _SMALL_BASE else base
    return base + dot + (extension.lower() if said & _SMALL_EXTENSION else extension)
