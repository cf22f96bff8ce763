"""What is let through unasked, because the settings say so, or because it is a key of the stub's own.

A path says something only where everybody sees the same under it. Whoever has a mount namespace of his own,
which any user may make, sees what he likes at any path: so nothing is excluded that was opened, or runs, by
way of a mount which this process does not have.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from guest_stub.excludes import Excludes
from guest_stub.mounts import mount_of
from guest_stub.on_access.answering import path_of
from guest_stub.on_access.coverage import MOUNTINFO, Mount, parse_mounts
from guest_stub.secret import Secret

_NAMESPACE = "ns/mnt"


class Exclusions:
    """Files by globs, as in excludes.Excludes, and processes by the path of their program."""

    def __init__(
        self,
        globs: Sequence[str],
        programs: Sequence[str],
        proc: Path = Path("/proc"),
        secret: Secret | None = None,
    ) -> None:
        """programs: absolute paths; one that is a link, or below one, is what that leads to now.

        secret: what is left alone whatever the settings say.
        """
        self._secret = secret
        self._globs = Excludes(globs)
        # The kernel tells where a program really is: /bin may be a link.
        self._programs = frozenset((*programs, *map(os.path.realpath, programs)))
        self._proc = proc
        self._mounts: frozenset[str] = frozenset()
        self.mounts_are(parse_mounts(MOUNTINFO.read_bytes()))

    def mounts_are(self, mounts: Iterable[Mount]) -> None:
        """Which mounts there are from now on."""
        self._mounts = frozenset(mount.number for mount in mounts)

    def match(self, fd: int, pid: int) -> bool:
        """Whether what this process does with this open file is nobody's business."""
        if self._programs and self._program(pid) in self._programs:
            return True
        return self.left_alone(fd)

    def left_alone(self, fd: int) -> bool:
        """Whether an open file is nobody's business, whoever does what with it."""
        if self._secret is not None and self._secret.holds(fd):
            return True
        return bool(self._globs) and self.is_ours(fd) and self._globs.covers(path_of(fd))

    def leaves_alone(self) -> bool:
        """Whether any place is excluded."""
        return bool(self._globs)

    def is_ours(self, fd: int) -> bool:
        """Whether a file was opened by way of a mount of this process."""
        try:
            return mount_of(fd) in self._mounts
        except OSError:
            return False

    def _program(self, pid: int) -> str:
        """The path of a process's program, "" where that says nothing."""
        process = self._proc / str(pid)
        try:
            if os.readlink(process / _NAMESPACE) != os.readlink(self._proc / "self" / _NAMESPACE):
                return ""
            fd = os.open(process / "exe", os.O_PATH | os.O_CLOEXEC)
        except OSError:  # it is gone, or a thread of the kernel
            return ""
        try:
            return path_of(fd) if self.is_ours(fd) else ""
        finally:
            os.close(fd)
