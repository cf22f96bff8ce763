"""Which file systems are watched: all local ones, also those that are mounted later."""

import errno
import os
import select
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from guest_stub.mounts import PSEUDO, mount_of

MOUNTINFO = Path("/proc/self/mountinfo")

# Their files come from elsewhere, or from another process here, for which nobody can wait who it waits for.
_NOT_LOCAL = frozenset({
    "9p", "afs", "ceph", "cifs", "coda", "devtmpfs", "fuse", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "virtiofs",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo. device: "major:minor". point: where it is mounted. kind: of file system.

    number: of the mount, as in fdinfo(5).
    """

    device: str
    point: str
    kind: str
    number: str = field(default="", compare=False)

    @property
    def local(self) -> bool:
        """Whether this machine itself keeps its files."""
        return self.kind not in PSEUDO and self.kind not in _NOT_LOCAL and not self.kind.startswith("fuse.")


def parse_mounts(mountinfo: bytes) -> list[Mount]:
    """Take the table apart; see proc_pid_mountinfo(5). Lines that make no sense are passed over."""
    mounts = []
    for line in mountinfo.split(b"\n"):  # and at nothing else: the kernel escapes no other line's end
        head, dash, tail = line.partition(b" - ")
        fields, kind = head.split(b" "), tail.split(b" ", 1)[0]
        if dash and len(fields) > 4:
            point = os.fsdecode(_unescaped(fields[4]))
            mounts.append(Mount(os.fsdecode(fields[2]), point, os.fsdecode(kind), os.fsdecode(fields[0])))
    return mounts


def is_on_top(mount: Mount) -> bool:
    """Whether a mount point leads to this mount."""
    try:
        fd = os.open(mount.point, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return mount_of(fd) == mount.number
    except OSError:
        return False
    finally:
        os.close(fd)


def _unescaped(field: bytes) -> bytes:
    """Undo the kernel's octal escapes of blanks, line ends and backslashes."""
    if b"\\" not in field:
        return field
    for escape, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(escape, byte)
    return field


class Coverage:
    """Watches each file system once, under whatever mounts it is seen.

    watched: by device, where each is mounted. failed: by mount point, why one is not watched.
    """

    def __init__(
        self,
        watch: Callable[[str], None],
        wanted: Callable[[Mount], bool],
        on_top: Callable[[Mount], bool] = lambda _: True,
    ) -> None:
        """watch: has the file system at a mount point watched; raises OSError. wanted: which are. on_top:
        whether a mount is what its mount point leads to, and not one that another was mounted over.
        """
        self.watched: dict[str, Mount] = {}
        self.failed: dict[str, str] = {}
        self._watch = watch
        self._wanted = wanted
        self._on_top = on_top

    def look(self, mountinfo: bytes) -> list[Mount]:
        """Watch all that is in the table, forget what is gone; return what was not watched before.

        All of it, each time: another file system may have come to the number of one that is gone.
        """
        there: dict[str, list[Mount]] = {}
        for mount in filter(self._wanted, parse_mounts(mountinfo)):
            there.setdefault(mount.device, []).append(mount)
        before, self.watched, self.failed = self.watched, {}, {}
        for device, mounts in there.items():
            mount = next(filter(self._on_top, reversed(mounts)), mounts[-1])
            try:
                if not self._on_top(mount):
                    raise OSError(errno.EBUSY, "another file system is mounted over it")
                self._watch(mount.point)
            except OSError as error:
                self.failed[mount.point] = error.strerror or str(error)
            else:
                self.watched[device] = mount
        return [mount for device, mount in self.watched.items() if device not in before]


class MountChanges:
    """A descriptor that is readable when the table of mounts has changed."""

    def __init__(self, path: Path = MOUNTINFO) -> None:
        """Open the table; whoever reads it from now on reads it as it is then."""
        self._table = path.open("rb", buffering=0)
        self._epoll = select.epoll()
        self._epoll.register(self._table, select.EPOLLPRI | select.EPOLLERR | select.EPOLLET)

    def fileno(self) -> int:
        """The descriptor."""
        return self._epoll.fileno()

    def changed(self) -> bool:
        """Whether it has changed since it was read last; that is said once."""
        return bool(self._epoll.poll(0))

    def read(self) -> bytes:
        """Take note of a change, and return the table."""
        self._epoll.poll(0)
        self._table.seek(0)
        return self._table.read()

    def close(self) -> None:
        """Let go of both."""
        self._epoll.close()
        self._table.close()
