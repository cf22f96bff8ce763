"""The packet filter of this machine's kernel, by the program nft."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from appliance.packet_filter.rules import DROPS_OF_DOOR, TABLE

_SECONDS = 60.0
_PROGRAM = "nft"
_PATH = "/usr/sbin:/sbin"  # where it is, and where people's PATH does not lead
_MARK = re.compile(r'^\tcomment "([^"]*)"$', re.MULTILINE)
_COUNTER = re.compile(r"^\tcounter (\w+) \{\s+packets (\d+) bytes \d+$", re.MULTILINE)
_JUMP = re.compile(r"^\t\t.* jump (\w+)$", re.MULTILINE)
_TOLD = 300  # characters of what nft complains


class PacketFilterError(Exception):
    """The packet filter cannot be used. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The table in the kernel. mark: of its rules. dropped: packets, by counter. guarded: the doors that are.

    The mark stays where somebody takes rules out; a door is guarded while what comes to it is sent to its
    rules, and all of these are there.
    """

    mark: str
    dropped: dict[str, int] = field(default_factory=dict)
    guarded: frozenset[str] = frozenset()


def apply(rules: str) -> None:
    """Put rules into the kernel, all or none. Raises PacketFilterError."""
    ran = _nft("-f", "-", given=rules)
    if ran.returncode:
        raise PacketFilterError(_why(ran.stderr))


def loaded() -> Loaded | None:
    """What is there; None where there is no such table. Raises PacketFilterError."""
    ran = _nft("-t", "list", "table", *TABLE)
    if ran.returncode == 0:
        return read(ran.stdout)
    if "No such file or directory" in ran.stderr:
        return None
    raise PacketFilterError(_why(ran.stderr))


def read(listed: str) -> Loaded:
    """The table as nft lists it."""
    found = _MARK.search(listed)
    dropped = {name: int(count) for name, count in _COUNTER.findall(listed)}
    guarded = {name for name in _JUMP.findall(listed) if len(_drops(name).findall(listed)) == DROPS_OF_DOOR}
    return Loaded(found[1] if found else "", dropped, frozenset(guarded))


def _drops(door: str) -> re.Pattern[str]:
    return re.compile(rf'counter name "?{door}_too_(?:fast|many)"? drop$', re.MULTILINE)


def _nft(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{os.environ.get('PATH', '')}:{_PATH}"
    places = (Path(directory or "/") / _PROGRAM for directory in path.split(":"))
    program = next((place for place in places if os.access(place, os.X_OK)), None)
    if program is None:
        raise PacketFilterError("nft is not installed: `apt-get install nftables`")
    try:
        return subprocess.run(
            [program, *words],
            check=False,
            input=given,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env={"LC_ALL": "C", "PATH": path},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PacketFilterError(f"nft could not be run: {error}") from error


def _why(said: str) -> str:
    if "Operation not permitted" in said:
        return "only root may look at the packet filter or change it: run this as root"
    return f"nft does not do it: {' '.join(said.split())[:_TOLD]}"
