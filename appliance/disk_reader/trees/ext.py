"""ext2, ext3 and ext4. The layout is that of Linux, Documentation/filesystems/ext4.

Inodes, directories and extents are read here, by hand: that is most of the work of a walk, and what the
library makes of the last inode of a disk, and of extents that are not written yet, is not what a guest sees.
"""

import io
import os
import stat
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, Final, NamedTuple

from dissect.extfs import ExtFS

from appliance.disk_reader.trees.tree import MOST_RUNS, Content, Node, Run, Wrong, by_runs, checked_runs

_ROOT: Final = 2
_INODE: Final = struct.Struct("<HHIIIIIHHIII60sIIII")
_ENTRY: Final = struct.Struct("<IHBB")
_EXTENT_HEAD, _EXTENT, _INDEX = struct.Struct("<HHHHI"), struct.Struct("<IHHI"), struct.Struct("<IIHH")
_ENCRYPTED, _EXTENTS, _INLINE = 0x800, 0x80000, 0x10000000
_EXTENT_MAGIC, _UNWRITTEN = 0xF30A, 0x8000
_MOST_DEPTH: Final = 8
_LARGEST_BLOCK: Final = 1 << 16
_WITHOUT_BYTES: Final = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
_TABLE_BYTES: Final = 32 << 10  # of inodes that are read at once
_MOST_DIRECTORY_BYTES: Final = 256 << 20


class _Inode(NamedTuple):
    number: int
    mode: int
    size: int
    flags: int
    block: bytes


class ExtTree:
    """A file system on a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._fs = ExtFS(stream)
        self._stream = stream
        self._block = int(self._fs.block_size)
        self._inode_size = int(self._fs.sb.s_inode_size) or 128
        self._per_group = int(self._fs.sb.s_inodes_per_group)
        self._inodes = int(self._fs.sb.s_inodes_count)
        self._table = lru_cache(4096)(self._table_of)
        self._some = lru_cache(64)(self._some_inodes)
        if not 128 <= self._inode_size <= self._block or self._block > _LARGEST_BLOCK:
            raise Wrong("its superblock makes no sense")

    def root(self) -> Node:
        """Its directory /."""
        return Node("", _ROOT, True, _ROOT)

    def children(self, node: Node) -> Iterator[Node | str]:
        """What stands in a directory."""
        inode = self._inode(node.thing)
        if not stat.S_ISDIR(inode.mode):
            raise Wrong("it is no directory")
        if inode.flags & _ENCRYPTED:
            yield "it is an encrypted directory: only the guest can read what is in it"
            return
        for data in self._directory(inode):
            yield from self._entries(data)

    def _entries(self, data: bytes) -> Iterator[Node | str]:
        at = 0
        while at + _ENTRY.size <= len(data):
            number, length, name_length, _ = _ENTRY.unpack_from(data, at)
            name = data[at + _ENTRY.size : at + _ENTRY.size + name_length]
            end = min((at // self._block + 1) * self._block, len(data))
            if self._block == _LARGEST_BLOCK and length in (0, _LARGEST_BLOCK - 1):
                length = _LARGEST_BLOCK
            if length < _ENTRY.size or length % 4 or at + length > end:
                yield "a part of it is damaged, and what stood there is not found"
                at = end  # the next block stands for itself, for Linux too
                continue
            at += length
            if number and name not in (b".", b"..", b"") and (node := self._node(os.fsdecode(name), number)):
                yield node

    def _node(self, name: str, number: int) -> Node | None:
        """What a name leads to; None for what has no bytes.

        By its inode, as Linux goes: the kind that the entry repeats is checked by nobody.
        """
        try:
            kind = stat.S_IFMT(self._inode(number).mode)
        except (Wrong, EOFError):  # told when its bytes are asked for
            kind = 0
        return None if kind in _WITHOUT_BYTES else Node(name, number, kind == stat.S_IFDIR, number)

    def _directory(self, inode: _Inode) -> Iterator[bytes]:
        if inode.flags & _INLINE:
            yield inode.block[4:]
            yield self._inline_rest(inode)
            return
        if inode.size > _MOST_DIRECTORY_BYTES:
            raise Wrong(f"it is a directory of {inode.size} bytes")
        stream, left = by_runs(self._stream, self._runs(inode), inode.size, self._block), inode.size
        while left > 0 and (data := stream.read(min(left, 64 * self._block))):
            left -= len(data)
            yield data

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        inode = self._inode(node.thing)
        if not stat.S_ISREG(inode.mode):
            raise Wrong("its inode is of no kind that there is")
        if inode.flags & _ENCRYPTED:
            raise Wrong("it is encrypted: only the guest can read it")
        if inode.flags & _INLINE:
            data = (inode.block + self._inline_rest(inode))[: inode.size]
            yield Content("", inode.size, lambda: io.BytesIO(data))
            return
        runs = self._runs(inode)
        yield Content("", inode.size, lambda: by_runs(self._stream, runs, inode.size, self._block), runs)

    def _inline_rest(self, inode: _Inode) -> bytes:
        """What of a small file does not fit where its blocks would be named."""
        if inode.size <= len(inode.block):
            return b""
        found = [each.value for each in self._fs.get_inode(inode.number).xattr if each.name == "system.data"]
        return bytes(found[0]) if found else b""

    # -- inodes and where their bytes are

    def _inode(self, number: int) -> _Inode:
        if not 1 <= number <= self._inodes:
            raise Wrong(f"it has the number {number}, and there are {self._inodes}")
        group, index = divmod(number - 1, self._per_group)
        at = self._table(group) * self._block + index * self._inode_size
        begin = at % _TABLE_BYTES
        data = self._some(at - begin)
        if begin + _INODE.size > len(data):
            raise Wrong("it lies beyond the end")
        said = _INODE.unpack_from(data, begin)
        mode, low, flags, block, high = said[0], said[2], said[10], said[12], said[15]
        return _Inode(number, mode, (high << 32 if stat.S_ISREG(mode) else 0) | low, flags, block)

    def _some_inodes(self, at: int) -> bytes:
        self._stream.seek(at)
        return self._stream.read(_TABLE_BYTES)

    def _table_of(self, group: int) -> int:
        told = self._fs._read_group_desc(group)
        return int(told.bg_inode_table_lo | (getattr(told, "bg_inode_table_hi", 0) << 32))

    def _runs(self, inode: _Inode) -> tuple[Run, ...]:
        if not inode.flags & _EXTENTS:
            return self._runs_by_blocks(inode)
        runs: list[Run] = []
        at = 0
        for first, count, start in self._extents(inode.block, 0):
            if first < at:
                raise Wrong("its parts overlap")
            if first > at:
                runs.append((None, (first - at) * self._block))
            runs.append((start if start is None else start * self._block, count * self._block))
            at = first + count
            if len(runs) > MOST_RUNS:
                raise Wrong("it is in too many parts")
        return checked_runs(runs, inode.size, self._block)

    def _extents(self, node: bytes, depth: int) -> Iterator[tuple[int, int, int | None]]:
        """First block of the file, how many, and where: None for what is not written yet."""
        magic, entries, _, levels, _ = _EXTENT_HEAD.unpack_from(node)
        if magic != _EXTENT_MAGIC or levels > _MOST_DEPTH or depth > _MOST_DEPTH:
            raise Wrong("its extents are damaged")
        size = _EXTENT_HEAD.size
        if size + entries * 12 > len(node):
            raise Wrong("its extents are damaged")
        for at in range(size, size + entries * 12, 12):
            if levels == 0:
                first, count, high, low = _EXTENT.unpack_from(node, at)
                unwritten = count > _UNWRITTEN
                count -= _UNWRITTEN if unwritten else 0
                yield first, count, None if unwritten else (high << 32) | low
            else:
                _, low, high, _ = _INDEX.unpack_from(node, at)
                self._stream.seek(((high << 32) | low) * self._block)
                yield from self._extents(self._stream.read(self._block), depth + 1)

    def _runs_by_blocks(self, inode: _Inode) -> tuple[Run, ...]:
        """The runs of ext2 and ext3, whose blocks are listed one by one."""
        runs: list[Run] = []
        left = (inode.size + self._block - 1) // self._block
        places = struct.unpack("<15I", inode.block)
        for level, place in [(0, place) for place in places[:12]] + list(enumerate(places[12:], 1)):
            if left <= 0:
                break
            left -= self._listed(place, level, left, runs)
        if left > 0:
            raise Wrong(f"it says that it has {inode.size} bytes, which is more than can be")
        return checked_runs(runs, inode.size, self._block)

    def _listed(self, place: int, level: int, left: int, runs: list[Run]) -> int:
        """Add what a block, or a block of such, stands for; how many blocks of the file that is."""
        entries = self._block // 4
        if level == 0 or place == 0:
            count = min(left, int(entries**level))
            _add_run(runs, place * self._block if place else None, count * self._block)
            return count
        self._stream.seek(place * self._block)
        data = self._stream.read(self._block).ljust(self._block, b"\0")
        done = 0
        for (below,) in struct.iter_unpack("<I", data):
            if done >= left:
                break
            done += self._listed(below, level - 1, left - done, runs)
        return done


def _add_run(runs: list[Run], at: int | None, length: int) -> None:
    """Add a run, or make the last one longer."""
    if runs:
        last, size = runs[-1]
        if (last is None and at is None) or (last is not None and at == last + size):
            runs[-1] = (last, size + length)
            return
    if len(runs) > MOST_RUNS:
        raise Wrong("it is in too many parts")
    runs.append((at, length))
