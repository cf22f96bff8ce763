"""Which of the libraries in requirements.lock an image needs: those that one extra asks for, and theirs."""

import re
import tomllib
from collections.abc import Iterable

from appliance.hypervisor.image.running import ImageError

_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)
_VIA = re.compile(r"^    #(?: via)?\s*(?P<who>[A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def part_of(requirements: str, project: str, extras: Iterable[str]) -> str:
    """The part of requirements.lock that an install with these extras needs, in its form, hashes included.

    requirements: the text of requirements.lock, in which pip-compile says what needs each library. project: the
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
