"""xfs, by the library; parts that are not written yet are zeros, as the guest sees them."""

import io
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from dissect.xfs import XFS
from dissect.xfs.c_xfs import c_xfs
from dissect.xfs.exceptions import Error

from appliance.disk_reader.trees.tree import MOST_RUNS, Content, Node, Run, Wrong, by_runs, checked_runs

_MOST_DIRECTORY_BYTES: Final = 256 << 20
_BEGIN_BYTES: Final = 64  # of a block of a directory: its header
_MAGIC_NOW, _MAGIC_BEFORE = (b"XDB3", b"XDD3"), (b"XD2B", b"XD2D")
_VERSION_NOW: Final = 5
_ENTRIES_BYTES: Final = 32 << 30  # where in a directory its index begins
_REALTIME: Final = 0x1
_WITHOUT_BYTES: Final = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)


class XfsTree:
    """A file system on a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._fs = XFS(stream)
        self._stream = stream
        self._block = int(self._fs.block_size)
        if self._fs.sb.sb_dirblklog:
            raise Wrong("its directories have blocks of their own size, which is not read")

    def root(self) -> Node:
        """Its directory /."""
        return Node("", self._fs.root.inum, True, self._fs.root)

    def children(self, node: Node) -> Iterator[Node | str]:
        """What stands in a directory."""
        inode = node.thing
        if inode.filetype != stat.S_IFDIR:
            raise Wrong("it is no directory")
        if inode.size > _MOST_DIRECTORY_BYTES:
            raise Wrong(f"it is a directory of {inode.size} bytes")
        yield from self._damaged(inode)
        for child in inode.iterdir():
            if child.filename not in (".", "..", "") and (found := self._node(child)):
                yield found

    def _node(self, child: Any) -> Node | None:
        """What a name leads to; None for what has no bytes.

        By its inode, as Linux goes: the kind that the entry repeats is checked by nobody.
        """
        try:
            kind = stat.S_IFMT(child.inode.di_mode)
        except (Error, EOFError):  # told when its bytes are asked for
            kind = 0
        if kind == stat.S_IFDIR:  # not with what was read of it: many may wait for their turn
            return Node(child.filename, child.inum, True, self._fs.get_inode(child.inum))
        return None if kind in _WITHOUT_BYTES else Node(child.filename, child.inum, False, child)

    def _damaged(self, inode: Any) -> Iterator[str]:
        """A sentence for each part of a directory that the library passes over without a word."""
        if inode.inode.di_format == c_xfs.xfs_dinode_fmt.XFS_DINODE_FMT_LOCAL:
            return
        stream, blocks = inode.open(), -(-int(inode.size) // self._block)
        magic = _MAGIC_NOW if self._fs.version == _VERSION_NOW else _MAGIC_BEFORE
        for number in range(blocks):
            stream.seek(number * self._block)
            if (begin := stream.read(_BEGIN_BYTES)).strip(b"\0") and begin[:4] not in magic:
                yield "a part of it is damaged, and what stood there is not found"
        entries_end = _ENTRIES_BYTES // self._block
        if any(first < entries_end and first + count > blocks for first, _, count, _ in inode._iter_blocks()):
            yield "a part of it lies behind its end, and what stands there is not found"

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        inode = node.thing
        if stat.S_IFMT(inode.inode.di_mode) != stat.S_IFREG:
            raise Wrong("its inode is of no kind that there is")
        if inode.inode.di_flags & _REALTIME:
            raise Wrong("it lies on the real-time part of the file system, which is not read")
        size = int(inode.size)
        if inode.inode.di_format == c_xfs.xfs_dinode_fmt.XFS_DINODE_FMT_LOCAL:
            data = inode.datafork().read(size)
            yield Content("", size, lambda: io.BytesIO(data))
            return
        runs = self._runs(inode, size)
        yield Content("", size, lambda: by_runs(self._stream, runs, size, self._block), runs)

    def _runs(self, inode: object, size: int) -> tuple[Run, ...]:
        runs: list[Run] = []
        at, shift, per_group = 0, int(self._fs.sb.sb_agblklog), int(self._fs.sb.sb_agblocks)
        for first, block, count, unwritten in inode._iter_blocks():  # type: ignore[attr-defined]
            if first < at:
                raise Wrong("its parts overlap")
            if first > at:
                runs.append((None, (first - at) * self._block))
            place = (block >> shift) * per_group + (block & ((1 << shift) - 1))
            runs.append((None if unwritten else place * self._block, count * self._block))
            at = first + count
            if len(runs) > MOST_RUNS:
                raise Wrong("it is in too many parts")
        return checked_runs(runs, size, self._block)
