"""What every file system is to the rest: nodes with names, and streams of bytes.

A method may raise anything: these parse what a guest has written to its disk.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from dissect.util.stream import RunlistStream

MOST_RUNS: Final = 1 << 20

# Where bytes of a file lie on its volume, in bytes: begin, None for zeros; and how many.
Run = tuple[int | None, int]


@dataclass(frozen=True, slots=True)
class Node:
    """What stands in a directory. name: with surrogates for bytes that are no UTF-8.

    key: the same for each name of one thing. is_directory: else a regular file. thing: the tree's own.
    """

    name: str
    key: Hashable
    is_directory: bool
    thing: Any


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a regular file. suffix: to its name, of a stream beside the main one.

    size: in bytes. open: gives a stream of them. runs: where they lie, None where that is not known.
    """

    suffix: str
    size: int
    open: Callable[[], BinaryIO]
    runs: tuple[Run, ...] | None = None


class Tree(Protocol):
    """A file system."""

    def root(self) -> Node:
        """Where it begins."""

    def children(self, node: Node) -> Iterator[Node | str]:
        """What stands in a directory, without itself and its parent; a sentence for what cannot be read."""

    def contents(self, node: Node) -> Iterator[Content]:
        """The bytes of a regular file, or several where it has more streams than one."""


class Wrong(Exception):
    """What is read makes no sense. The text says why."""


def by_runs(stream: BinaryIO, runs: tuple[Run, ...], size: int, block: int) -> BinaryIO:
    """A stream of what lies in runs. All begin and end on blocks."""
    blocks = [(None if at is None else at // block, length // block) for at, length in runs]
    made: BinaryIO = RunlistStream(stream, blocks, size, block)
    return made


def checked_runs(runs: list[Run], size: int, block: int) -> tuple[Run, ...]:
    """Runs for so many bytes: what none is for at the end is zeros. Raises Wrong where they make no sense."""
    covered = 0
    for _, length in runs:
        if length <= 0:
            raise Wrong("a part of it has no length")
        covered += length
    if covered < size:
        runs.append((None, (size - covered + block - 1) // block * block))
    return tuple(runs)
