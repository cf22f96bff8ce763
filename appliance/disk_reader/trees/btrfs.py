"""btrfs, by the library: every subvolume that the top one leads to, snapshots too. Of one device."""

import os
import stat
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from dissect.btrfs import Btrfs
from dissect.btrfs.c_btrfs import c_btrfs

from appliance.disk_reader.trees.tree import Content, Node, Wrong

_DIR_ITEM: Final = struct.Struct("<QBQQHHB")
_NO_NAMES: Final = (".", "..", "")
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
        """What stands in a directory: what it lists, and what is found in it by its name alone.

        Both where one name leads to two things: systems list the one and open the other.
        """
        listed, own = set[tuple[str, int, int]](), node.thing.subvolume.objectid
        for name, child in node.thing.iterdir():
            if name in _NO_NAMES:
                continue
            if found := _node(name, child):
                yield found
            subvolume = child.subvolume.objectid
            listed.add((name, subvolume, child.inum if subvolume == own else 0))
        for name, kind, number in _by_hash(node.thing):
            is_inode = kind == c_btrfs.BTRFS_INODE_ITEM_KEY
            place = (own, number) if is_inode else (number, 0)
            if name in _NO_NAMES or (name, *place) in listed:
                continue
            if not is_inode:
                yield "it has a subvolume that it does not list, which is not looked at"
            elif found := _node(name, node.thing.subvolume.inode(number)):
                yield found

    def contents(self, node: Node) -> Iterator[Content]:
        """Its bytes."""
        inode = node.thing
        if stat.S_IFMT(inode.mode) != stat.S_IFREG:
            raise Wrong("its inode is of no kind that there is")
        yield Content("", int(inode.size), inode.open)


def _by_hash(inode: Any) -> Iterator[tuple[str, int, int]]:
    """The names by which what stands in a directory is opened, each with the kind and number of its item."""
    cursor = inode.subvolume.tree.cursor()
    for _, data in cursor.iter(inode.inum, c_btrfs.BTRFS_DIR_ITEM_KEY, 0, ignore_offset=True):
        at = 0
        while at + _DIR_ITEM.size <= len(data):  # names of the same hash share an item
            number, kind, _, _, rest, length, _ = _DIR_ITEM.unpack_from(data, at)
            at += _DIR_ITEM.size
            yield os.fsdecode(bytes(data[at : at + length])), int(kind), int(number)
            at += length + rest


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
