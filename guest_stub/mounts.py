"""What kind of file system a directory lies on, and what that means for a scan."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# The kernel makes their files up when somebody reads them: no content to keep, and some without an end.
PSEUDO = frozenset({
    "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs",
    "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs",
    "sysfs", "tracefs",
})  # fmt: skip

# The kernel of this machine itself sets the change time at every write and never gives two files one
# inode number. Elsewhere (FAT, FUSE, network file systems) a file may change and look the same: nothing
# is kept of it.
RELIABLE = frozenset({
    "bcachefs", "btrfs", "devtmpfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "nilfs2",
    "overlay", "ramfs", "reiserfs", "squashfs", "tmpfs", "udf", "xfs", "zfs",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileSystem:
    """kind: as in /proc/self/mountinfo, "" where that could not be found out."""

    kind: str

    @property
    def pseudo(self) -> bool:
        """Whether its files have no content of their own."""
        return self.kind in PSEUDO

    @property
    def reliable(self) -> bool:
        """Whether inode number and change time stand for a file's content."""
        return self.kind in RELIABLE


def file_system_of(fd: int, proc: Path = Path("/proc/self")) -> FileSystem:
    """The file system of an open directory.

    By the mount's number and not by st_dev, which btrfs and overlay make up. One that is mounted
    meanwhile is found as well, since the table is read at each call: call it once for each st_dev.
    """
    try:
        return FileSystem(_kinds((proc / "mountinfo").read_bytes()).get(mount_of(fd, proc), ""))
    except OSError:
        return FileSystem("")


def mount_of(fd: int, proc: Path = Path("/proc/self")) -> str:
    """The number of the mount that a file was opened by way of. Raises OSError."""
    return dict(_facts((proc / "fdinfo" / str(fd)).read_text())).get("mnt_id", "")


def _facts(text: str) -> list[tuple[str, str]]:
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in text.splitlines())]


def _kinds(mountinfo: bytes) -> Mapping[str, str]:
    """Mount number to file system type; see proc_pid_mountinfo(5) for the optional fields before " - "."""
    kinds = {}
    for line in mountinfo.split(b"\n"):  # and at nothing else: names may hold what looks like a line's end
        head, _, tail = line.partition(b" - ")
        number, kind = head.split(b" ", 1)[0], tail.split(b" ", 1)[0]
        kinds[os.fsdecode(number)] = os.fsdecode(kind)
    return kinds
