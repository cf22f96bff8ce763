"""A tree as an ext4 file system: the same bytes from the same tree, nothing mounted, no right needed.

`mke2fs -d` would take the order of files from the directory that it reads, and their change times from the
clock. debugfs is told each file in order instead.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from appliance.hypervisor.image.running import ImageError, run
from appliance.hypervisor.image.tree import Entry, Tree

HASH_SEED = "6b766d6c-6130-4000-8000-68617368e5ed"
_WRITTEN = ("Allocated inode: ", "debugfs: ", "debugfs 1.")  # what it says while all is well


@dataclass(frozen=True, slots=True)
class Ext4:
    """label, uuid: by which it is found. mib: how large it is."""

    label: str
    uuid: str
    mib: int

    def make(self, tree: Tree, file: Path, scratch: Path) -> None:
        """Write it as a file. scratch: an empty directory for contents meanwhile. Raises ImageError."""
        file.unlink(missing_ok=True)
        with file.open("wb") as made:
            made.truncate(self.mib << 20)
        environ = {"E2FSPROGS_FAKE_TIME": str(tree.epoch)}
        options = f"hash_seed={HASH_SEED},lazy_itable_init=1,root_owner=0:0"
        form = [
            "-t",
            "ext4",
            "-b",
            "4096",
            "-J",
            f"size={max(4, self.mib // 64)}",
            "-m",
            "0",
            "-N",
            str(self.mib * 64),
        ]
        run(["mke2fs", "-q", "-F", *form, "-L", self.label, "-U", self.uuid, "-E", options, file], environ)
        orders = scratch / "orders"
        orders.write_text("".join(f"{line}\n" for line in _orders(tree, scratch)))
        said = run(["debugfs", "-w", "-f", orders, file], {**environ, "DEBUGFS_PAGER": "cat"})
        _check(said, self)


def _check(said: str, filesystem: Ext4) -> None:
    """debugfs ends with 0 whatever went wrong: what it printed tells."""
    wrong = [line for line in said.splitlines() if line and not line.startswith(_WRITTEN)]
    if any("Could not allocate" in line or "No free space" in line for line in wrong):
        raise ImageError(f"{filesystem.mib} MiB are too little for all that is in it: give a larger --size")
    if wrong:
        raise ImageError(f"debugfs could not write the file system: {wrong[0]}")


def _orders(tree: Tree, scratch: Path) -> list[str]:
    lines: list[str] = []
    number = 0
    for directory, entries in tree.directories():
        lines.append(f"cd {_quoted(str(directory))}")
        for name, entry in entries:
            number += 1
            lines += _order(name, entry, scratch / str(number))
    return lines


def _order(name: str, entry: Entry, content: Path) -> list[str]:
    """What makes one entry in the directory where debugfs is. content: where its bytes go meanwhile."""
    quoted, kind = _quoted(name), stat.S_IFMT(entry.mode)
    major, minor = entry.device
    if kind == stat.S_IFREG:
        content.write_bytes(entry.content())
        made = f"write {_quoted(str(content))} {quoted}"
    elif kind == stat.S_IFDIR:
        made = f"mkdir {quoted}"
    elif kind == stat.S_IFLNK:
        made = f"symlink {quoted} {_quoted(entry.target)}"
    elif kind == stat.S_IFIFO:
        made = f"mknod {quoted} p"
    else:
        made = f"mknod {quoted} {'c' if kind == stat.S_IFCHR else 'b'} {major} {minor}"
    owners = [
        f"sif {quoted} {what} {number}" for what, number in (("uid", entry.uid), ("gid", entry.gid)) if number
    ]
    return [made, f"sif {quoted} mode 0{entry.mode:o}", *owners, f"sif {quoted} mtime @{entry.mtime}"]


def _quoted(name: str) -> str:
    if "\n" in name or os.sep * 2 in name:
        raise ImageError(f"a file of an image cannot be named {name!r}")
    return '"' + name.replace('"', '""') + '"'
