"""What runs that were killed left in the directory where images are made."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.hypervisor.image.running import ImageError, run

_LOCK = "in-use.lock"
_WORKING = ("kvmla-base-*", "kvmla-image-*", "kvmla-kernel-*")
_MOUNTS = Path("/proc/self/mountinfo")


@contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """Have the directory, with others of this program, and without what those left that were killed.

    Raises ImageError, also where something is mounted in what they left and stays so.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fd = os.open(cache / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ImageError(f"{cache} cannot be used ({error.strerror}): name another by --cache") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_left(cache)
        except BlockingIOError:
            pass  # others are at work: what is there may be theirs
        fcntl.flock(fd, fcntl.LOCK_SH)  # with them; who has it alone does no more than remove
        yield
    finally:
        os.close(fd)


def _remove_left(cache: Path) -> None:
    for directory in sorted(found for pattern in _WORKING for found in cache.glob(pattern)):
        # By a version that did not yet mount apart. Removing must not walk into the host's own devices.
        for place in reversed(_mounted_in(directory)):
            run(["umount", "--lazy", place])
        if _mounted_in(directory):
            raise ImageError(f"{directory} was left, and something is mounted in it: unmount and remove it")
        shutil.rmtree(directory)


def _mounted_in(directory: Path) -> list[Path]:
    """What is mounted in a directory, in the order that it was."""
    places = (_plain(line.split()[4]) for line in _MOUNTS.read_text().splitlines())
    return [place for place in places if place.is_relative_to(directory.resolve())]


def _plain(word: str) -> Path:
    """A path as the kernel lists it, where blanks and the like are octal."""
    return Path(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word))
