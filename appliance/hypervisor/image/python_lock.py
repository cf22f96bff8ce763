"""Which of the libraries in requirements.lock an install needs: those that its extras ask for, and theirs.

    python3 -m appliance.hypervisor.image.python_lock [EXTRA...]

prints them, from a source tree, for `pip --require-hashes`; without an extra those of a guest, see
docs/installing.md. It needs the standard library alone, since it is run before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from appliance.hypervisor.image.running import ImageError

_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)
_VIA = re.compile(r"^    #(?: via)?\s*(?P<who>[A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def part_of(requirements: str, project: str, extras: Iterable[str]) -> str:
    """The part of requirements.lock that an install with these extras needs, in its form, hashes included.

    requirements: the text of requirements.lock, in which pip-compile says who needs a library. project: the
    text of pyproject.toml. Raises ImageError when the one does not fit the other.
    """
    wanted = _direct(project, extras)
    entries = _entries(requirements)
    if missing := sorted(wanted - entries.keys()):
        raise ImageError(f"requirements.lock lacks {', '.join(missing)}: `make lock` writes it anew")
    needed_by = {name: {_plain(who) for who in _VIA.findall(text)} for name, text in entries.items()}
    while more := {name for name, by in needed_by.items() if by & wanted} - wanted:
        wanted |= more
    return "".join(entries[name] for name in sorted(wanted))


def _direct(project: str, extras: Iterable[str]) -> set[str]:
    table = tomllib.loads(project)["project"]
    lines = [*table["dependencies"]]
    for extra in extras:
        if extra not in table["optional-dependencies"]:
            raise ImageError(f"no extra {extra!r}: there are {', '.join(table['optional-dependencies'])}")
        lines += table["optional-dependencies"][extra]
    return {_plain(match[0]) for line in lines if (match := _NAME.match(line))}


def _entries(requirements: str) -> dict[str, str]:
    starts = [*_ENTRY.finditer(requirements)]
    ends = [start.start() for start in starts[1:]] + [len(requirements)]
    return {
        _plain(start["name"]): _without_headings(requirements[start.start() : end])
        for start, end in zip(starts, ends, strict=True)
    }


def _without_headings(entry: str) -> str:
    """What stands between two entries at the beginning of a line belongs to neither."""
    return "".join(line for line in entry.splitlines(keepends=True) if not line.startswith("#"))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(extras: Sequence[str]) -> int:
    """Print the part of this source tree's lock; 0, or 1 and why not."""
    source = Path(__file__).parents[3]
    try:
        lock, project = ((source / name).read_text() for name in ("requirements.lock", "pyproject.toml"))
        print(part_of(lock, project, extras), end="")
    except OSError as error:
        print(f"{error.filename}: {error.strerror}: run this in a source tree", file=sys.stderr)
        return 1
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
