"""A mark beside a store that is written without fsync: was the machine up ever since?

Commits without fsync are in the page cache: they outlive the process, but after a power cut the file may
hold some pages of a commit and not others, which no checksum of a record can tell. So the mark
names the boot in which the store was last written and not yet synced; another boot means: do not trust it.
"""

import fcntl
import os
from pathlib import Path


class UnsyncedMark:
    """The mark of one open store; several processes may hold it at once."""

    def __init__(self, path: Path, boot_id: str) -> None:
        """Open or create the mark; raises OSError. boot_id: /proc/sys/kernel/random/boot_id."""
        self._boot_id = boot_id.encode()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self.trusted = self._claim()

    def _claim(self) -> bool:
        """Share the mark; False when it is left from another boot. Whoever is alone renews it."""
        if not _alone(self._fd):
            fcntl.flock(self._fd, fcntl.LOCK_SH)  # waits at most for another's claim or release
            return True
        left = os.pread(self._fd, 128, 0)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, self._boot_id, 0)
        fcntl.flock(self._fd, fcntl.LOCK_SH)
        return left in (b"", self._boot_id)

    def alone(self) -> bool:
        """Whether no other process holds the mark; if so, none can until release()."""
        return _alone(self._fd)

    def release(self, synced: bool) -> None:
        """Let go. synced: the store was fsynced while alone() held, so nothing is left to mark."""
        if synced:
            os.ftruncate(self._fd, 0)
        os.close(self._fd)


def _alone(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
