"""Which processes have a file open, mapped, or run it.

By the inode numbers that the kernel tells in /proc, and a look at what has one of them: a file of a network
file system that hangs is not touched. Before Linux 5.14 it tells none of open files, only of mapped ones.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from guest_stub.decision import FileId
from guest_stub.records import Seen, identify, inode_of

MOST_TOLD: Final = 100  # processes and files
_MOST_BYTES: Final = 1 << 20  # of one table of mappings


def processes_with(files: Sequence[Seen], proc: Path = Path("/proc")) -> list[tuple[int, str]]:
    """Each process but this one with each of the files that it holds as they were, by its path for it."""
    wanted = {(file.key, file.stamp) for file in files}
    inodes = {str(inode_of(file.key)).encode() for file in files}
    found: dict[tuple[int, str], None] = {}
    for process in _processes(proc):
        with suppress(OSError):  # it is gone, or goes
            for link in (*_opened(process, inodes), *_mapped(process, inodes)):
                if identify(FileId.of(os.stat(link))) in wanted:
                    found[int(process.name), os.readlink(link)] = None
        if len(found) >= MOST_TOLD:
            break
    return list(found)[:MOST_TOLD]


def _processes(proc: Path) -> Iterator[Path]:
    for name in os.listdir(proc):
        if name.isdecimal() and int(name) != os.getpid():
            yield proc / name


def _opened(process: Path, inodes: Iterable[bytes]) -> Iterator[Path]:
    """Links to the open files of these inodes."""
    for number in os.listdir(process / "fdinfo"):
        with suppress(OSError):
            facts = (process / "fdinfo" / number).read_bytes()
            inode = facts.partition(b"\nino:")[2].partition(b"\n")[0].strip()
            if inode in inodes:
                yield process / "fd" / number


def _mapped(process: Path, inodes: Iterable[bytes]) -> Iterator[Path]:
    """Links to the mapped files of these inodes, each once: what it runs, and libraries."""
    met: set[bytes] = set()
    with (process / "maps").open("rb") as table:
        for line in table.read(_MOST_BYTES).splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[4] in inodes and fields[3] + fields[4] not in met:
                met.add(fields[3] + fields[4])
                yield process / "map_files" / os.fsdecode(fields[0])
