"""FAT12, FAT16 and FAT32. Directories by the library; chains of clusters here: they may run in a ring."""

from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from dissect.fat import FATFS
from dissect.fat.fat import _iter_dirent

from appliance.disk_reader.trees.tree import Content, Node, Run, Wrong, by_runs, checked_runs

_LAST: Final = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}  # from here on no cluster follows; this one is bad
_MOST_DIRECTORY_BYTES: Final = 64 << 20
_SMALL_BASE, _SMALL_EXTENSION = 0x08, 0x10


class FatTree:
    """A file system on a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._fs = FATFS(stream)
        self._stream = stream
        self._cluster = int(self._fs.cluster_size)
        self._data = int(self._fs.first_data_sector) * int(self._fs.sector_size)

    def root(self) -> Node:
        """Its root directory."""
        return Node("", 0, True, self._fs.root)

    def children(self, node: Node) -> Iterator[Node | str]:
        """What stands in a directory."""
        stream = self._directory(node.thing)
        for number, entry in enumerate(_iter_dirent(self._fs, stream, None)):
            if entry.is_volume_id() or entry.name in (".", "..", ""):
                continue
            is_directory = bool(entry.is_directory())
            key = int(entry.cluster) if is_directory else (node.key, number)
            yield Node(_name_of(entry), key, is_directory, entry)

    def _directory(self, entry: Any) -> BinaryIO:
        if entry is self._fs.root and not self._fs.root.cluster:
            fixed: BinaryIO = self._fs.root.open()
            return fixed
        runs = self._runs(int(entry.cluster), _MOST_DIRECTORY_BYTES)
        return by_runs(self._stream, tuple(runs), sum(size for _, size in runs), self._cluster)

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        size, cluster = int(node.thing.dirent.DIR_FileSize), int(node.thing.cluster)
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
