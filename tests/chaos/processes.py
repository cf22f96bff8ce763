"""What a program holds of the machine, and what is left of it: by /proc."""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.broken import Broken

Condition = Callable[[], bool]

_WORKER = b"appliance.scanning.worker"


@dataclass(frozen=True)
class Held:
    """Descriptors of a process by what they are. files: of any other kind, of which some come and go."""

    memfds: int
    sockets: int
    pipes: int
    files: int

    def fits(self, usual: "Held") -> bool:
        """Whether it is no more than usual, but for a connection and a few files that come and go."""
        return (
            self.memfds <= usual.memfds
            and self.sockets <= usual.sockets + 1
            and self.pipes <= usual.pipes
            and self.files <= usual.files + 4
        )


def held(pid: int) -> Held:
    """What a process holds now."""
    kinds = [_target(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    memfds = sum(kind.startswith("/memfd:") for kind in kinds)
    sockets = sum(kind.startswith("socket:") for kind in kinds)
    pipes = sum(kind.startswith("pipe:") for kind in kinds)
    return Held(memfds, sockets, pipes, sum(map(bool, kinds)) - memfds - sockets - pipes)


def below(pid: int, but: int = 0) -> list[int]:
    """The descendants of a process that live, but one and what is below it; now and then not all of them.

    By what the kernel says of each: see _children().
    """
    return _descendants(pid, but, lambda parent: [each for each in _children(parent) if not _is_zombie(each)])


def _all_below(pid: int, but: int) -> list[int]:
    """The same, by what all processes of the machine say: none is missed, which takes its time."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(path.parent.name))
    return _descendants(pid, but, lambda parent: children.get(parent, []))


def _descendants(pid: int, but: int, children: Callable[[int], list[int]]) -> list[int]:
    found, more = list[int](), [pid]
    while more:
        more = [child for parent in more for child in children(parent) if child != but]
        found += more
    return found


def workers(pid: int) -> list[int]:
    """The processes of an SVM in which content is scanned, without those that only wrap them."""
    parents = set[int]()
    found = []
    for child in below(pid):
        with suppress(OSError):
            stat = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if _WORKER in command:
                found.append(child)
                parents.add(int(stat[1]))
    return [child for child in found if child not in parents]


async def nothing_left_of(patience: float, svm: int = 0) -> None:
    """Return when this process has no descendants but a living SVM, and what is below that. Raises Broken.

    Orphans come to this process, so whatever an SVM has started and left behind is among them.
    """
    end = time.monotonic() + patience
    while True:
        _reap(svm)
        left = below(os.getpid(), svm) or _all_below(os.getpid(), svm)
        if not left:
            return
        if time.monotonic() > end:
            raise Broken(f"left over: {[(pid, _command(pid)) for pid in left]}")
        await asyncio.sleep(0.01)


def _reap(svm: int) -> None:
    """Let children go that have ended: all that the harness started itself have been waited for by now."""
    for child in _children(os.getpid()):
        if child != svm and _is_zombie(child):
            with suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)


def _children(pid: int) -> list[int]:
    """The children of a process. One may be left out while another one ends (proc(5))."""
    found = list[int]()
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def _is_zombie(pid: int) -> bool:
    """Also of one that is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]
    return "?"


def _target(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
