"""What stands around a part of on-access protection in its tests: remembers all, and misbehaves as told."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guest_stub.decision import FileId
from guest_stub.journal import Entry
from guest_stub.looking import Looked
from guest_stub.on_access.answering import Waiting
from guest_stub.on_access.fanotify import OPEN_PERM, Event
from guest_stub.on_access.judging import HeldFile, Judged
from guest_stub.on_access.policy import FailMode
from guest_stub.outcome import Outcome
from guest_stub.records import Record
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import LinkAnswer

GENERATION = 7
PROCESS = 4711
DIGEST = bytes(range(32))
NOTHING = LinkAnswer(Outcome.NOT_DETECTED, GENERATION, 3600.0)
BAD = LinkAnswer(Outcome.MALICIOUS, GENERATION, 3600.0, "Eicar", "eicar", "a.com")


def event_of(path: Path, mask: int = OPEN_PERM, pid: int = PROCESS) -> Event:
    """An event of a file, with a descriptor that whoever takes it closes."""
    return Event(mask, os.open(path, os.O_RDONLY | os.O_CLOEXEC), pid)


def identity(path: Path) -> FileId:
    """What stands for a file."""
    return FileId.of(path.stat())


class Kernel:
    """An Answers. answers: all, in order. refuses: as it does for a process that was killed."""

    def __init__(self) -> None:
        self.answers: list[tuple[Event, bool]] = []
        self.refuses = False

    @property
    def allowed(self) -> list[bool]:
        """What was answered, in order."""
        return [allow for _, allow in self.answers]

    def answer(self, event: Event, allow: bool) -> None:
        """Remember."""
        os.fstat(event.fd)  # the kernel knows the event by its descriptor, which has to be open
        self.answers.append((event, allow))
        if self.refuses:
            raise FileNotFoundError("nobody waits")


class Marks:
    """A passing.Marks. marked: inodes. error: raised instead of marking. during: called as one is made."""

    def __init__(self) -> None:
        self.marked: list[int] = []
        self.again: list[int] = []
        self.all_again = 0
        self.tried = 0
        self.error: OSError | None = None
        self.error_again: OSError | None = None
        self.during: Callable[[], object] = lambda: None

    def pass_over(self, fd: int, mask: int) -> None:
        """Remember."""
        self.tried += 1
        self.during()
        if self.error is not None:
            raise self.error
        self.marked.append(os.fstat(fd).st_ino)

    def watch_again(self, fd: int, mask: int) -> None:
        """Remember."""
        if self.error_again is not None:
            raise self.error_again
        self.again.append(os.fstat(fd).st_ino)

    def watch_all_again(self) -> None:
        """Remember."""
        self.all_again += 1


@dataclass
class Kept:
    """A memory.Kept."""

    records: dict[tuple[bytes, bytes], Record] = field(default_factory=dict)
    looked_up: int = 0

    def look_up(self, key: bytes, stamp: bytes) -> Record | None:
        """What a test put there."""
        self.looked_up += 1
        return self.records.get((key, stamp))


@dataclass
class Keeping:
    """A memory.Keeping."""

    verdicts: list[tuple[Looked, LinkAnswer]] = field(default_factory=list)
    digests: list[Looked] = field(default_factory=list)
    loose: list[Looked] = field(default_factory=list)

    def keep(self, files: Sequence[Looked], answer: LinkAnswer, now: float) -> None:
        """Remember."""
        self.verdicts.extend((file, answer) for file in files)

    def keep_digests(self, files: Sequence[Looked]) -> None:
        """Remember."""
        self.digests.extend(files)

    def keep_loose(self, files: list[Looked]) -> None:
        """Remember."""
        self.loose.extend(files)


@dataclass
class Verdicts:
    """A gate.Judges. answer: of every file. go: no answer before it is set. known: of its
    content meanwhile. error: raised instead.
    """

    answer: LinkAnswer = NOTHING
    sha256: bytes = DIGEST
    still: bool = True
    known: LinkAnswer | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)
    error: BaseException | None = None
    asked: list[tuple[FileId, bytes]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.go.set()

    async def judge(self, held: HeldFile, file: FileId, sha256: bytes, seconds: float) -> Judged:
        """Say what the test wants."""
        self.asked.append((file, sha256))
        self.seconds.append(seconds)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.known is not None:
            held.known = Judged(self.known, self.sha256, file)
        try:
            await self.go.wait()
            os.fstat(held.fd)  # the file is held as long as it is judged
            if self.error is not None:
                raise self.error
            return Judged(self.answer, self.sha256, file, self.still)
        finally:
            self.at_once -= 1


@dataclass
class Reports:
    """The Reports of the gate and of what comes afterwards."""

    blocks: list[tuple[str, Judged]] = field(default_factory=list)
    reports: list[tuple[str, Judged]] = field(default_factory=list)
    unanswers: list[tuple[bytes, Judged]] = field(default_factory=list)
    fallbacks: list[tuple[FailMode, str]] = field(default_factory=list)
    looks: list[tuple[bytes, Judged]] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def blocked(self, waiting: Waiting, judged: Judged) -> None:
        """Remember."""
        self.blocks.append((waiting.path(), judged))

    def reported(self, waiting: Waiting, judged: Judged) -> None:
        """Remember."""
        self.reports.append((waiting.path(), judged))

    def unanswered(self, held: HeldFile, judged: Judged) -> None:
        """Remember."""
        self.unanswers.append((os.pread(held.fd, 100, 0), judged))

    def fell_back(self, waiting: Waiting, mode: FailMode, why: str) -> None:
        """Remember."""
        self.fallbacks.append((mode, why))

    def looked_at(self, held: HeldFile, judged: Judged) -> None:
        """Remember, with what stands in the file."""
        self.looks.append((os.pread(held.fd, 100, 0), judged))

    def skipped(self, why: str) -> None:
        """Remember."""
        self.skips.append(why)

    def missed(self, why: str) -> None:
        """Remember."""
        self.misses.append(why)

    def not_replayed(self, why: str) -> None:
        """Remember."""
        self.words.append(why)

    def not_noted(self) -> None:
        """Remember."""
        self.words.append("not noted")

    def not_found(self, entries: Sequence[Entry]) -> None:
        """Remember."""
        self.words += [f"not found {entry.path}" for entry in entries]

    def given_up(self, path: str) -> None:
        """Remember."""
        self.words.append(f"given up {path}")


@dataclass
class Links:
    """A judging.Links, whose links no other follows."""

    current: SvmLink | None = None

    async def after(self, lost: SvmLink) -> SvmLink | None:
        """None."""
