"""Files that a guest holds, as the link to the SVM asks for them."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from guest_stub.reading import open_quietly
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.question import Question
from guest_stub.svm_link.values import (
    Batch,
    FileContent,
    HelloLabels,
    LinkAnswer,
    LinkListener,
    Purpose,
    ScanSlot,
    ScanTask,
)
from tests.support.guest_side_server import Behaviour, GuestSideServer, serving

BUDGET = 60.0
DEADLINE = 30.0
LABELS = HelloLabels("1.0", "Debian GNU/Linux 12", "0f0f", "guest-1")


class HeldFiles:
    """Files of given contents in a directory, and the batch that asks about all of them."""

    def __init__(self, directory: Path, contents: list[bytes]) -> None:
        self.paths = [directory / f"file{index}.bin" for index in range(len(contents))]
        for path, data in zip(self.paths, contents, strict=True):
            path.write_bytes(data)
        self.sizes = [len(data) for data in contents]
        self.digests = [hashlib.sha256(data).digest() for data in contents]
        self.asked_for: list[int] = []

    def content(self, index: int) -> FileContent:
        """Where the bytes are."""
        path = self.paths[index]
        self.asked_for.append(index)
        return FileContent(self.sizes[index], path.name.encode(), lambda: open_quietly(str(path)))

    def batch(self, budget: float = BUDGET) -> Batch:
        """All files in one question."""
        return Batch(self.digests, Purpose.ON_DEMAND, budget, self.content)


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.generations: list[int] = []
        self.digests: list[bytes] = []
        self.why: list[str] = []
        self.kept: list[tuple[bytes, int]] = []
        self.scans: list[ScanTask | ScanSlot] = []

    def generation_changed(self, generation: int) -> None:
        """Keep."""
        self.generations.append(generation)

    def revoked(self, digests: list[bytes]) -> None:
        """Keep."""
        self.digests += digests

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """Keep."""
        self.kept.append((journal, up_to))

    def scan_told(self, told: ScanTask | ScanSlot) -> None:
        """Keep."""
        self.scans.append(told)

    def lost(self, why: str) -> None:
        """Keep."""
        self.why.append(why)


def digest_of(number: int) -> bytes:
    """A digest that stands for no file."""
    return hashlib.sha256(number.to_bytes(8, "little")).digest()


def no_content(index: int) -> FileContent:
    """For batches whose content nobody should ask for."""
    raise AssertionError(f"the content of index {index} was asked for")


def batch_of(count: int, budget: float = BUDGET, first: int = 0) -> Batch:
    """A question about `count` digests of no file."""
    digests = [digest_of(first + number) for number in range(count)]
    return Batch(digests, Purpose.ON_DEMAND, budget, no_content)


async def ends(question: Question) -> dict[int, LinkAnswer]:
    """The end of each index, each given once."""
    found = {index: question.answer(index) for index, _ in enumerate(question.outcomes)}
    late: set[int] = set()
    async for ended in question.settled():
        for index, answer in ended:
            assert index not in late, f"index {index} ended twice"
            late.add(index)
            found[index] = answer
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another task brings about."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"did not come to be within {DEADLINE:g} s"
        await asyncio.sleep(0.005)


class Clock:
    """The running loop's clock, which a test may set forward; timers that are due by then run at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        real = asyncio.get_running_loop().time
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: real() + self._ahead)

    def forward(self, seconds: float) -> float:
        """Set the clock forward; return by how much it is ahead."""
        self._ahead += seconds
        return self._ahead


@asynccontextmanager
async def attached(
    directory: Path, behaviour: Behaviour | None = None, listener: LinkListener | None = None
) -> AsyncIterator[tuple[SvmLink, GuestSideServer]]:
    """A link to a server of its own, under `directory`."""
    async with (
        serving(directory / "svm.sock", behaviour) as server,
        await SvmLink.open(server.target, LABELS, 30.0, listener) as link,
    ):
        yield link, server
