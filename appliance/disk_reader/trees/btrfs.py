"""btrfs, by the library: every subvolume that the top one leads to, snapshots too. Of one device."""

from collections.abc import Iterator
from typing import BinaryIO

from dissect.btrfs import Btrfs

from appliance.disk_reader.trees.tree import Content, Node, Wrong


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
            if name in (".", "..", ""):
                continue
            if child.is_dir() or child.is_file():
                key = (child.subvolume.objectid, child.inum)
                yield Node(name, key, child.is_dir(), child)

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        inode = node.thing
        if not inode.is_file():
            raise Wrong("it is no regular file")
        yield Content("", int(inode.size), inode.open)
