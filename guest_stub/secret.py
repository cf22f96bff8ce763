"""What never leaves this guest, although everything in it is looked at: the stub's own keys.

Whoever opens one of them, as root may, would else have its content sent to the SVM, where nobody knows it.
"""

import glob
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from guest_stub.config import StubSettings, state_directory

_MOST_BYTES = 64 << 10  # of a file of keys
_MODE = stat.S_IFREG | 0o600


def secret_globs(state: Path) -> tuple[str, ...]:
    """Globs of the keys in a state directory, and in that of the whole system, as in excludes.Excludes."""
    directories = (state, state_directory(StubSettings(), {}, 0))
    return tuple(dict.fromkeys(_escaped(path) for directory in directories for path in _paths(directory)))


class Secret:
    """The keys in a state directory, told by their descriptors. Serves one thread."""

    def __init__(self, state: Path) -> None:
        """state: need not be there yet."""
        self._paths = [os.fspath(path) for path in _paths(state)]
        self._files = [os.path.join(self._paths[0], name) for name in ("identity.json", "pending.json")]
        self._files.append(self._paths[1])

    def holds(self, fd: int) -> bool:
        """Whether an open file is one, under whichever name, or lies where they do. Raises OSError."""
        status = os.fstat(fd)
        if status.st_mode != _MODE or status.st_size > _MOST_BYTES or status.st_uid != os.geteuid():
            return False  # nearly every file: this is asked of each
        path = os.readlink(f"/proc/self/fd/{fd}")
        return any(path == own or path.startswith(f"{own}/") for own in self._paths) or _is_any(
            status, self._files
        )


def _paths(state: Path) -> tuple[Path, Path]:
    """The directory of the identity, and the key of the quarantine."""
    real = Path(os.path.realpath(state))
    return real / "identity", real / "quarantine" / "key"


def _is_any(status: os.stat_result, files: Iterable[str]) -> bool:
    for file in files:
        try:
            other = os.stat(file, follow_symlinks=False)
        except OSError:
            continue
        if (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino):
            return True
    return False


def _escaped(path: Path) -> str:
    return glob.escape(os.fspath(path))
