"""Opens files that are not at their path any more by their handles: no renaming is too fast for that."""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from guest_stub.decision import FileId
from guest_stub.journal import Entry
from guest_stub.on_access.answering import path_of
from guest_stub.records import device_of, identify
from guest_stub.remediation.handles import open_handle

_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_READINGS: Final = 5  # of a path that leads elsewhere, before it is taken for none


def reopened(entry: Entry, roots: Iterable[str]) -> int:
    """A descriptor of the file of an entry; -1 where it cannot be had, or nobody can tell where it is.

    roots: of the file systems that it may be on. What is excluded goes by where a file is: one of which the
    kernel tells no path (nobody has come by it since it was read from the disk) has to be walked for.
    """
    if not entry.handle or not entry.key:
        return -1
    for root in _on_its_device(entry, roots):
        with suppress(OSError):
            fd = _opened(root, entry.handle)
            if _is_it(fd, entry) and _is_told(fd):
                return fd
            os.close(fd)
    return -1


def _on_its_device(entry: Entry, roots: Iterable[str]) -> list[str]:
    """Of the roots those on the file's device; all, where it is no root's, as on Btrfs."""
    there: dict[str, int] = {}
    for root in roots:
        with suppress(OSError):
            there[root] = os.stat(root).st_dev & 0xFFFFFFFF
    on_it = [root for root, device in there.items() if device == device_of(entry.key)]
    return on_it[:1] or list(there)


def _opened(root: str, handle: bytes) -> int:
    """Raises OSError."""
    beside = os.open(root, _ROOT)
    try:
        return open_handle(beside, handle, _FILE)
    finally:
        os.close(beside)


def _is_it(fd: int, entry: Entry) -> bool:
    """Whether it is the file, which has a name still."""
    status = os.fstat(fd)
    return status.st_nlink > 0 and identify(FileId.of(status))[0] == entry.key


def _is_told(fd: int) -> bool:
    """Whether the kernel knows where a file is. A path that changes as it is read is one that it knows."""
    ours = os.fstat(fd)
    path = path_of(fd)
    for _ in range(_READINGS if path else 0):
        with suppress(OSError):
            if os.path.samestat(os.stat(path, follow_symlinks=False), ours):
                return True
        before, path = path, path_of(fd)
        if path != before:
            return True
    return False
