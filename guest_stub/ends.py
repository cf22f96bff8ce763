"""How a directory entry can end in a scan: with an outcome, or left out for a named reason."""

from enum import IntEnum

from guest_stub.outcome import DETECTIONS, VERDICTS, Outcome, label


class Left(IntEnum):
    """Entries that no question is asked about. Numbered after the outcomes; each entry has one end."""

    SYMLINK = 200  # not followed
    HARD_LINK = 201  # another name of a file that this scan met before
    FIFO = 202  # never opened
    SOCKET = 203
    DEVICE = 204
    EXCLUDED = 205  # --exclude
    OVER_SIZE = 206  # --max-size
    VANISHED = 207  # went away between listing and looking
    INTERRUPTED = 208  # the scan was ended before an answer came


End = Outcome | Left

PLAIN: frozenset[End] = frozenset(
    {Outcome.CLEAN, Outcome.NOT_DETECTED, Left.SYMLINK, Left.HARD_LINK, Left.EXCLUDED}
)
"""Not worth a line."""

ASKED: frozenset[End] = frozenset({*Outcome, Left.INTERRUPTED})
"""Ends of the files that something was to be decided on."""

FOUND: frozenset[End] = frozenset(DETECTIONS)
"""Worth exit code 1."""

FAILED: frozenset[End] = ASKED - VERDICTS
"""Worth exit code 2: the file should have had a verdict and has none."""


def words(end: End) -> str:
    """The end in lower-case words: "not detected", "hard link"."""
    return label(end) if isinstance(end, Outcome) else end.name.lower().replace("_", " ")


class DirectoryLeft(IntEnum):
    """Directories that were not entered."""

    UNREADABLE = 1
    EXCLUDED = 2  # --exclude
    OTHER_FILE_SYSTEM = 3  # --one-file-system
    PSEUDO = 4  # proc, sysfs and their like
    LOOP = 5  # one of its own parents, by a mount
    SEEN = 6  # entered before under another path, by a mount or a second PATH
    TOO_DEEP = 7  # its path is longer than the scan follows
    VANISHED = 8


DIRECTORY_FAILED = frozenset({DirectoryLeft.UNREADABLE, DirectoryLeft.TOO_DEEP})
"""Worth exit code 2, and a line."""


def directory_words(left: DirectoryLeft) -> str:
    """The reason in lower-case words: "other file system"."""
    return left.name.lower().replace("_", " ")
