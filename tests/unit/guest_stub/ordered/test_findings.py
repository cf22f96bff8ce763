"""Tests of what becomes of what an ordered scan detects."""

import asyncio
from threading import Thread

from guest_stub.ends import DirectoryLeft, End, Left
from guest_stub.journal import Entry
from guest_stub.ordered import findings as module
from guest_stub.ordered.findings import Findings
from guest_stub.outcome import Outcome
from guest_stub.report import FileEnd
from tests.support.held_files import until


def found(path: str) -> FileEnd:
    """A detection."""
    return FileEnd(path, Outcome.MALICIOUS, bytes(32), "Eicar", inode=b"i" * 12, handle=b"h" * 20)


class Notes:
    """A findings.Notes, and who is told. taken: entries, and what stands for their files."""

    def __init__(self) -> None:
        self.taken: list[tuple[Entry, int]] = []
        self.told: list[FileEnd] = []
        self.findings = Findings(self, self.told.append)

    def take(self, entry: Entry, name: int) -> None:
        """Remember."""
        self.taken.append((entry, name))


async def test_a_detection_is_said_and_noted_to_be_looked_at_again() -> None:
    """Whichever thread met it; with all by which it can be found again; the same file under one name."""
    notes = Notes()
    await asyncio.to_thread(notes.findings.file, found("/a"), True)
    notes.findings.file(found("/b"))
    notes.findings.file(found("/b"))
    await until(lambda: len(notes.taken) == 3)
    entries = [entry for entry, _ in notes.taken]
    assert [(entry.path, entry.operation) for entry in entries] == [
        ("/a", "scan"),
        ("/b", "scan"),
        ("/b", "scan"),
    ]
    assert {(entry.key, entry.handle) for entry in entries} == {(b"i" * 12, b"h" * 20)}
    assert notes.taken[1][1] == notes.taken[2][1] != notes.taken[0][1]
    assert [file.path for file in notes.told] == ["/a", "/b", "/b"]


async def test_only_detections_are_of_interest() -> None:
    """The tally counts the rest."""
    notes = Notes()
    assert notes.findings.wants(Outcome.SUSPICIOUS)
    others: list[End] = [Outcome.CLEAN, Outcome.TOO_LARGE, Left.SYMLINK]
    assert not any(map(notes.findings.wants, others))
    notes.findings.directory(DirectoryLeft.UNREADABLE, "/d", "no right")
    assert notes.taken == []


async def test_the_walking_thread_is_held_while_many_are_on_their_way() -> None:
    """The loop takes them before more come."""
    notes = Notes()
    count = module.MOST_ON_THEIR_WAY * 2

    def meet() -> None:
        for number in range(count):
            notes.findings.file(found(f"/{number}"), wait=True)

    thread = Thread(target=meet)
    thread.start()
    thread.join(0.2)  # the loop takes nothing meanwhile
    assert thread.is_alive()
    await asyncio.to_thread(thread.join)
    await until(lambda: len(notes.taken) == count)
