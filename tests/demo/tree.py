"""Which parts of this machine the guests scan."""

import os
import sys
from pathlib import Path

# Programs, Python's library, then whatever is shared: a mixture that every Debian has.
CANDIDATES = (
    "/usr/bin",
    "/usr/lib/python3*/*",
    "/usr/share/*",
    "/usr/share/doc/*",
    "/usr/include/*",
    "/usr/lib/*",
    "/usr/lib/*/*",
    f"{sys.prefix}/lib/python3*/site-packages/*",  # a small system has too few files without
    "/var/lib/dpkg",
)
MOST_BYTES_OF_ONE = 400 << 20  # a candidate larger than this would make the demo long, not better
MOST_BYTES = 1 << 30

# Test data of scanners, archivers and interpreters: broken and encrypted archives end without a
# verdict, which is never cached, so that each guest would have them looked at again.
LEFT_OUT = frozenset({"test", "tests", "testdata", "clamav-testfiles"})


def choose(files: int) -> list[Path]:
    """Directories of this machine that hold at least `files` files together, if the machine has so many."""
    chosen: list[Path] = []
    count = size = 0
    for pattern in CANDIDATES:
        for directory in sorted(Path("/").glob(pattern.removeprefix("/"))):
            if count >= files:
                return chosen
            if not _is_suitable(directory) or any(directory.is_relative_to(other) for other in chosen):
                continue
            inside = [other for other in chosen if other.is_relative_to(directory)]
            more, bytes_more = _measure(directory)
            if inside or not more or bytes_more > MOST_BYTES_OF_ONE or size + bytes_more > MOST_BYTES:
                continue
            chosen.append(directory)
            count += more
            size += bytes_more
    return chosen


def _is_suitable(directory: Path) -> bool:
    return directory.is_dir() and not directory.is_symlink() and directory.name not in LEFT_OUT


def _measure(directory: Path) -> tuple[int, int]:
    """Files and bytes below the directory; 0, 0 where something in it is better left out."""
    count = size = 0
    for folder, folders, names in os.walk(directory):
        if LEFT_OUT.intersection(folders):
            return 0, 0
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            count += 1
            size += status.st_size
    return count, size
