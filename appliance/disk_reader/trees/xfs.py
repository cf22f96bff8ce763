"""xfs, by the library; parts that are not written yet are zeros, as the guest sees them."""

import io
import stat
from collections.abc import Iterator
from typing import BinaryIO, Final

from dissect.xfs import XFS
from dissect.xfs.c_xfs import c_xfs

from appliance.disk_reader.trees.tree import MOST_RUNS, Content, Node, Run, Wrong, by_runs, checked_runs

_MOST_DIRECTORY_BYTES: Final = 256 << 20


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
        for child in inode.iterdir():
            if child.filename in (".", "..", ""):
                continue
            if child.filetype in (stat.S_IFDIR, stat.S_IFREG):
                yield Node(child.filename, child.inum, child.filetype == stat.S_IFDIR, child)

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        inode = node.thing
        if stat.S_IFMT(inode.inode.di_mode) != stat.S_IFREG:
            raise Wrong("it is no regular file")
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


_REALTIME: Final = 0x1
