"""Which file systems are read: one line each."""

from collections.abc import Callable
from typing import BinaryIO, Final

from appliance.disk_reader.trees.btrfs import BtrfsTree
from appliance.disk_reader.trees.ext import ExtTree
from appliance.disk_reader.trees.fat import FatTree
from appliance.disk_reader.trees.ntfs import NtfsTree
from appliance.disk_reader.trees.tree import Tree
from appliance.disk_reader.trees.xfs import XfsTree

TREES: Final[dict[str, Callable[[BinaryIO], Tree]]] = {
    "btrfs": BtrfsTree,
    "ext4": ExtTree,
    "fat": FatTree,
    "ntfs": NtfsTree,
    "xfs": XfsTree,
}
