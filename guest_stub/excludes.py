"""Globs that leave files and directories out of a scan."""

import re
from collections.abc import Sequence
from fnmatch import translate


class Excludes:
    """Compiled globs, as a shell's: `*`, `?`, `[...]`; a `*` also matches "/".

    A glob without "/" is held against the last part of a path, one with "/" against the whole
    absolute path. A directory that matches is left out with all that is in it.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        """Compile; a glob that ends in "/" means the directory of that name."""
        tidy = [glob.rstrip("/") or glob for glob in globs]
        self._names = _any_of([glob for glob in tidy if "/" not in glob])
        self._paths = _any_of([glob for glob in tidy if "/" in glob])

    def match(self, directory: str, name: str) -> bool:
        """Whether `directory/name` is to be left out."""
        if self._names is not None and self._names.match(name):
            return True
        return self._paths is not None and self._paths.match(f"{directory}/{name}") is not None

    def covers(self, path: str) -> bool:
        """Whether an absolute path, or a directory above it, is to be left out."""
        while path not in ("", "/"):
            directory, _, name = path.rpartition("/")
            if self.match(directory, name):
                return True
            path = directory
        return False

    def __bool__(self) -> bool:
        """Whether there is any glob at all."""
        return self._names is not None or self._paths is not None


def _any_of(globs: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(translate(glob) for glob in globs)) if globs else None
