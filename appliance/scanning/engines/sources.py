"""Finds the files of rules and lists below a directory, and gathers what is wrong with them."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from appliance.scanning.labels import printable, shortened
from appliance.scanning.result import SignatureSource

SHIPPED = Path(__file__).resolve().parent.parent / "data"
MAX_FILES = 100_000  # of one directory
MAX_PROBLEMS = 100  # of one source; then a count
MAX_PATH_BYTES = 2048
MAX_WHAT_CHARACTERS = 400


class Problems:
    """What is wrong with one source, bounded."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: list[str] = []
        self._more = 0

    def add(self, place: str, what: str) -> None:
        """Note `what` at `place`: "file" or "file:line", the file as `shown`."""
        if len(self._kept) < MAX_PROBLEMS:
            self._kept.append(f"{place}: {printable(what.encode())[:MAX_WHAT_CHARACTERS]}")
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        """Return them, and last how many were left out."""
        return (*self._kept, f"and {self._more} more") if self._more else tuple(self._kept)


def shown(path: Path) -> str:
    """Return `path` as text that can be printed and stored."""
    return shortened(printable(os.fsencode(path)), MAX_PATH_BYTES)


def unread(engine: str, path: Path, why: str) -> SignatureSource:
    """Return a source that gave nothing, and why."""
    problems = Problems()
    problems.add(shown(path), why)
    return SignatureSource(engine, shown(path), 0, problems.all())


def files_below(
    engine: str, directory: Path, wanted: Callable[[str], bool]
) -> tuple[list[Path], list[SignatureSource]]:
    """Return the files below `directory` whose names are `wanted`, in order, and what could not be read.

    Directories behind symbolic links are not entered; what is hidden is left out.
    """
    troubles: list[SignatureSource] = []

    def trouble(error: OSError) -> None:
        troubles.append(unread(engine, Path(error.filename), error.strerror or str(error)))

    found: list[Path] = []
    for parent, directories, names in os.walk(directory, onerror=trouble):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".") and wanted(name)]
        if len(found) > MAX_FILES:
            troubles.append(unread(engine, directory, f"more than {MAX_FILES} files: the rest is not read"))
            return found[:MAX_FILES], troubles
    return found, troubles


def open_source(path: Path, max_bytes: int) -> BinaryIO:
    """Open a regular file of at most `max_bytes`. Raises OSError, for what is no file or too large too."""
    # Without O_NONBLOCK a named pipe in the directory would hold the build up for good.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_size <= max_bytes:
        return os.fdopen(fd, "rb")
    os.close(fd)
    regular = stat.S_ISREG(status.st_mode)
    raise OSError(f"over {max_bytes} bytes, split it" if regular else "not a regular file")
