"""A file that a walk met, and that something is to be decided on."""

from typing import NamedTuple


class FoundFile(NamedTuple):
    """A regular file. See records.identify for key and stamp; sorting by it sorts by device and inode.

    key is empty for a file on a file system whose inodes or change times cannot be relied on. directory:
    absolute path without a "/" at its end, so that f"{directory}/{name}" holds, also for "". size in bytes.
    names: how many the file has, this one among them; 1 where key is empty.
    """

    key: bytes
    stamp: bytes
    directory: str
    name: str
    size: int
    names: int = 1
