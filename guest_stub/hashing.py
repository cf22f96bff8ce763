"""SHA-256 of files, many in one go, leaving the page cache as found. Runs in threads, never on the loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guest_stub.decision import FileId
from guest_stub.outcome import Outcome


class HashTask(NamedTuple):
    """A file to hash: `path` seen from the directory `dir_fd`, or from the working directory."""

    path: bytes
    dir_fd: int | None = None


class HashResult(NamedTuple):
    """What became of a task.

    file: the identity of what was hashed, None where it could not be opened.
    sha256: 32 bytes, or b"" where there is a problem.
    problem: None; CHANGED (changed while read, gone, or no regular file any more), UNREADABLE, TOO_LARGE.
    reason: a sentence for people, where there is a problem.
    """

    file: FileId | None
    sha256: bytes
    problem: Outcome | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HashLimits:
    """max_bytes: larger files end as TOO_LARGE, unread. throttle: told of each number of bytes about
    to be hashed; may sleep (in the hashing thread) to hold a rate. stop: asked between pieces; True ends the batch early
    with what is done.
    """

    max_bytes: int
    throttle: Callable[[int], None] | None = None
    stop: Callable[[], bool] | None = None


def hash_batch(tasks: Sequence[HashTask], limits: HashLimits) -> list[HashResult]:
    """Hash files one after another; results in the tasks' order, shorter than tasks only after `stop`.

    Meant for an executor's thread with 64 to 256 files at once, so that the hop costs little for each.
    Never raises for a file. Several threads may run it at once; each has one buffer of its own.
    """
