"""btrfs, by the library: every subvolume that the top one leads to, snapshots too. Of one device."""

import stat
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from dissect.btrfs import Btrfs

from appliance.disk_reader.trees.tree import Content, Node, Wrong

_WITHOUT_BYTES: Final = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)


class BtrfsTree:
    """A file system on a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._fs = Btrfs(stream)
        if int(self._fs.sb.num_devices) != 1:
            raise Wrong(f"it is spread over {self._fs.sb.num_devices} devices, which is not read")

    def root(self) -> Node:
        """The top of its subvolumes."""
        inode = self._fs.fs_tree.root
        return Node("", (self._fs.fs_tree.objectid, inode.inum), True, inode)

    def children(self, node: Node) -> Iterator[Node | str]:
        """What stands in a directory."""
        for name, child in node.thing.iterdir():
            if name not in (".", "..", "") and (found := _node(name, child)):
                yield found

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        inode = node.thing
        if stat.S_IFMT(inode.mode) != stat.S_IFREG:
            raise Wrong("its inode is of no kind that there is")
        yield Content("", int(inode.size), inode.open)


def _node(name: str, child: Any) -> Node | None:
    """What a name leads to; None for what has no bytes.

    By its inode: the kind that the entry repeats is a copy, which not every Linux checks.
    """
    key, subvolume = (child.subvolume.objectid, child.inum), child.subvolume
    try:
        kind = stat.S_IFMT(child.mode)
    except (KeyError, EOFError):  # told when its bytes are asked for
        kind = 0
    if kind == stat.S_IFDIR:
        return Node(name, key, True, subvolume.inode(child.inum))
    return None if kind in _WITHOUT_BYTES else Node(name, key, False, child)
