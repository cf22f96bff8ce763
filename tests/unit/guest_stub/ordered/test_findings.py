"""Tests of what becomes of what an ordered scan detects."""

import asyncio
from pathlib import Path
from threading import Thread

from guest_stub.ends import DirectoryLeft, End, Left
from guest_stub.journal import Journal
from guest_stub.ordered import findings as module
from guest_stub.ordered.findings import Findings
from guest_stub.outcome import Outcome
from guest_stub.report import FileEnd
from tests.support.held_files import until


def found(path: str) -> FileEnd:
    """A detection."""
    return FileEnd(path, Outcome.MALICIOUS, bytes(32), "Eicar")


async def test_a_detection_is_noted_to_be_looked_at_again(tmp_path: Path) -> None:
    """Whichever thread met it; the same file is noted once."""
    journal, noted = Journal(tmp_path), list[bool]()
    findings = Findings(journal, lambda: noted.append(journal.waiting))
    await asyncio.to_thread(findings.file, found("/a"), True)
    findings.file(found("/b"))
    findings.file(found("/b"))
    await until(lambda: len(noted) == 3)
    assert noted[0]
    assert [(entry.path, entry.operation) for entry in journal.replay()] == [("/a", "scan"), ("/b", "scan")]
    journal.close()


async def test_only_detections_are_of_interest(tmp_path: Path) -> None:
    """The tally counts the rest."""
    journal = Journal(tmp_path)
    findings = Findings(journal, lambda: None)
    assert findings.wants(Outcome.SUSPICIOUS)
    others: list[End] = [Outcome.CLEAN, Outcome.TOO_LARGE, Left.SYMLINK]
    assert not any(map(findings.wants, others))
    findings.directory(DirectoryLeft.UNREADABLE, "/d", "no right")
    assert not journal.waiting
    journal.close()


async def test_the_walking_thread_is_held_while_many_are_on_their_way(tmp_path: Path) -> None:
    """The loop takes them before more come."""
    journal = Journal(tmp_path)
    findings = Findings(journal, lambda: None)
    count = module.MOST_ON_THEIR_WAY * 2

    def meet() -> None:
        for number in range(count):
            findings.file(found(f"/{number}"), wait=True)

    thread = Thread(target=meet)
    thread.start()
    thread.join(0.2)  # the loop takes nothing meanwhile
    assert thread.is_alive()
    await asyncio.to_thread(thread.join)
    await until(lambda: journal.waiting)
    await asyncio.sleep(0)
    assert len(list(journal.replay())) == count
    journal.close()
