"""Tests of what the daemon says."""

import asyncio
import logging
import os
from contextlib import closing
from pathlib import Path

import pytest

from guest_stub.journal import Entry
from guest_stub.on_access.answering import Waiting
from guest_stub.on_access.fanotify import OPEN_EXEC_PERM, OPEN_PERM
from guest_stub.on_access.judging import HeldFile, Judged
from guest_stub.on_access.merging import Happening
from guest_stub.on_access.policy import AccessPolicy, FailMode
from guest_stub.on_access.reporting import LINES_A_SECOND, NAMES_A_SECOND, Reporter, Throttle
from guest_stub.outcome import DETECTIONS, OPEN, Outcome
from guest_stub.remediation.done import Done, Result
from guest_stub.remediation.quarantine import Restored
from guest_stub.report import FileEnd
from guest_stub.svm_link.values import EventKind, LinkAnswer
from tests.support.held_files import until
from tests.support.on_access_parts import BAD, DIGEST, NOTHING, PROCESS, Kernel, event_of, identity
from tests.support.quarantined import entry_of


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    """All lines are looked at."""
    caplog.set_level(logging.INFO, "guest-stub")


def waiting_for(path: Path, mask: int = OPEN_PERM) -> Waiting:
    """A process that waits for a file."""
    return Waiting(event_of(path, mask), Kernel(), AccessPolicy(), lambda _waiting: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of a hostile name."""
    path = tmp_path / os.fsdecode(b"\x1b[2Jcaf\xe9\n")
    path.write_text("hello")
    return path


def named(path: Path) -> str:
    """How it is to be written."""
    return f"{path.parent}/\\x1b[2Jcaf\\xe9\\x0a"


async def test_a_block_is_a_line(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What, where, why, by whom; names act on no terminal and begin no line."""
    reporter = Reporter()
    waiting = waiting_for(file, OPEN_EXEC_PERM)
    answer = BAD._replace(threat="Eicar\n\x1b[31m")
    reporter.blocked(waiting, Judged(answer, DIGEST, identity(file)))
    waiting.answer(False)
    assert caplog.messages == [
        f"blocked {named(file)}: Eicar\\x0a\\x1b[31m (malicious), SHA-256 {DIGEST.hex()}; "
        f"exec by process {PROCESS}"
    ]
    assert reporter.counts["blocked"] == 1
    reporter.close()


@pytest.mark.parametrize("mode", FailMode)
async def test_an_answer_without_a_verdict_is_a_line(
    file: Path, caplog: pytest.LogCaptureFixture, mode: FailMode
) -> None:
    """And who keeps such files for later is told of those that were let through."""
    let_through: list[str] = []
    reporter = Reporter()
    reporter.let_through = lambda waiting: let_through.append(waiting.path())
    waiting = waiting_for(file)
    reporter.fell_back(waiting, mode, "no SVM\nanswers")
    waiting.answer(True)
    assert caplog.messages == [
        f"no verdict: open of {named(file)} by process {PROCESS} was answered with {mode}: no SVM\\x0aanswers"
    ]
    assert let_through == ([str(file)] if mode is FailMode.ALLOW else [])
    assert reporter.counts["fell_back"] == 1
    reporter.close()


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - OPEN))
async def test_of_what_was_written_only_findings_are_said(
    file: Path, caplog: pytest.LogCaptureFixture, outcome: Outcome
) -> None:
    """A line for each."""
    reporter = Reporter()
    fd = os.open(file, os.O_RDONLY)
    held = HeldFile(fd)
    os.close(fd)
    reporter.looked_at(held, Judged(LinkAnswer(outcome, threat="Some"), DIGEST, identity(file)))
    held.close()
    reporter.close()
    assert len(caplog.messages) == reporter.counts["found"] == int(outcome in DETECTIONS)
    if caplog.messages:
        assert caplog.messages[0].startswith(f"found {named(file)}: Some ({outcome.name.lower()})")


async def test_a_written_file_that_nobody_looks_at_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """And who looks for them is told."""
    told: list[bool] = []
    reporter = Reporter()
    reporter.on_missed = lambda: told.append(True)
    reporter.missed("the queue was full")
    reporter.close()
    assert caplog.messages == ["a written file was not looked at: the queue was full"]
    assert (told, reporter.counts["missed"]) == ([True], 1)


async def test_an_opened_file_that_is_not_looked_at_is_said_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody need look for it: it comes by again."""
    told: list[bool] = []
    reporter = Reporter()
    reporter.on_missed = lambda: told.append(True)
    reporter.skipped("too many wait")
    reporter.close()
    assert (caplog.messages, told) == (["an opened file was not looked at: too many wait"], [])


async def test_many_lines_that_are_alike_become_one(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """So many are written, the others counted, and other kinds are written all the same."""
    reporter = Reporter()
    for _ in range(LINES_A_SECOND + 7):
        reporter.missed("why")
    waiting = waiting_for(file)
    reporter.blocked(waiting, Judged(BAD, DIGEST, identity(file)))
    waiting.answer(True)
    assert len(caplog.messages) == LINES_A_SECOND + 1
    reporter.close()
    assert caplog.messages[-1] == "and 7 more missed files in the last second"
    assert len(caplog.messages) == LINES_A_SECOND + 2


async def test_what_was_counted_is_said_after_a_second(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself; then there is room for lines again."""
    loop = asyncio.get_running_loop()
    later = loop.call_later
    waits: list[float] = []

    def sooner(delay: float, *rest: object, **more: object) -> asyncio.TimerHandle:
        waits.append(delay)
        return later(0, *rest, **more)  # type: ignore[arg-type]

    throttle = Throttle()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_later", sooner)
        for number in range(LINES_A_SECOND + 1):
            throttle.line("things", logging.INFO, f"thing {number} %s %d")
    assert waits == [1.0]
    await until(lambda: "and 1 more things in the last second" in caplog.messages)
    caplog.clear()
    throttle.line("things", logging.INFO, "another")
    assert caplog.messages == ["another"]
    throttle.close()
    throttle.close()
    assert caplog.messages == ["another"]


async def test_a_plain_file_is_no_line(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A healthy machine fills no log."""
    reporter = Reporter()
    fd = os.open(file, os.O_RDONLY)
    held = HeldFile(fd)
    os.close(fd)
    for _ in range(LINES_A_SECOND + 1):
        reporter.looked_at(held, Judged(NOTHING, DIGEST, identity(file)))
    held.close()
    reporter.close()
    assert caplog.messages == []


def holding(path: Path) -> HeldFile:
    """A file that is held."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return HeldFile(fd)
    finally:
        os.close(fd)


async def test_a_file_without_a_name_is_called_so(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And one whose name looks like that has it."""
    reporter = Reporter()
    odd = Path(f"{file} (deleted)")
    os.rename(file, odd)
    waiting = waiting_for(odd)
    judged = Judged(BAD, DIGEST, identity(odd))
    reporter.blocked(waiting, judged)
    os.unlink(odd)
    reporter.blocked(waiting, judged)
    said = [message.split(": Eicar")[0] for message in caplog.messages]
    assert said == [f"blocked {named(file)} (deleted)", "blocked a file whose name cannot be told"]
    waiting.answer(True)
    reporter.close()


async def test_who_acts_is_told_of_each_detection(file: Path) -> None:
    """Whether it was blocked, let through by the settings, or found afterwards; the file is open then."""
    told: list[bytes] = []
    reporter = Reporter()
    reporter.on_detection = lambda fd, _judged: told.append(os.pread(fd, 10, 0))
    waiting, judged = waiting_for(file), Judged(BAD, DIGEST, identity(file))
    reporter.blocked(waiting, judged)
    reporter.reported(waiting, judged)
    waiting.answer(False)
    with closing(holding(file)) as held:
        reporter.looked_at(held, judged)
        reporter.looked_at(held, Judged(NOTHING, DIGEST, identity(file)))
    reporter.close()
    assert told == [b"hello"] * 3
    assert reporter.counts == {"blocked": 1, "found": 2, "fell_back": 0, "missed": 0}


async def test_what_was_written_and_is_not_known_is_kept_for_later(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And said; that it is looked at later only where there is room to note it."""
    kept: list[int] = []
    has_room = iter([True, False])

    def note(held: HeldFile) -> bool:
        kept.append(os.fstat(held.fd).st_ino)
        return next(has_room)

    reporter = Reporter()
    reporter.unknown = note
    with closing(holding(file)) as held:
        for _ in range(2):
            reporter.unanswered(held, Judged(LinkAnswer(Outcome.NO_SVM), DIGEST, identity(file)))
    reporter.close()
    assert kept == [identity(file).ino] * 2
    assert caplog.messages == [
        f"no verdict: {named(file)} will be looked at later: NO_SVM",
        f"no verdict: {named(file)} is not noted to be looked at later: NO_SVM",
    ]


async def test_what_a_scan_detects_is_said_when_it_is_detected(caplog: pytest.LogCaptureFixture) -> None:
    """It may not be found again."""
    happenings: list[Happening] = []
    reporter = Reporter()
    reporter.tell = happenings.append
    reporter.scanned(FileEnd("/a\n", Outcome.MALICIOUS, DIGEST, "Eicar"))
    reporter.close()
    assert caplog.messages == [
        f"a scan has detected /a\\x0a: Eicar (malicious), SHA-256 {DIGEST.hex()}",
    ]
    [told] = happenings
    assert (told.kind, told.action, told.path, told.threat) == (
        EventKind.DETECTION, "reported", b"/a\n", "Eicar",
    )  # fmt: skip


async def test_what_will_not_be_looked_at_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """For whatever reason; of many that are not found one line, which names what a scan has detected."""
    happenings: list[Happening] = []
    reporter = Reporter()
    reporter.tell = happenings.append
    reporter.not_noted()
    reporter.not_found([Entry("/tmp/a", 0.0, "open"), Entry("/b\n", 0.0, "scan"), Entry("/c", 0.0, "write")])
    reporter.not_found([Entry("/d", 0.0, "open")])
    reporter.given_up("/e")
    reporter.not_replayed("the disk is gone")
    reporter.close()
    assert [each.kind for each in happenings] == [EventKind.OVERFLOW] * 5
    assert [(each.action, each.path) for each in happenings] == [
        ("not noted", b""), ("not found", b"/b\n"), ("not found", b"/d"), ("not looked at", b"/e"),
        ("not looked at", b""),
    ]  # fmt: skip
    assert "there is no room" in caplog.messages[0]
    assert caplog.messages[1] == (
        "/b\\x0a: it was to be looked at again, and is not found: deleted, or hidden; and 2 more"
    )
    assert len(caplog.messages) == 5


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (Done(Result.QUARANTINED, b"/a\n", "0123456789ab"),
         "quarantined /a\\x0a: Eicar; guest-stub quarantine show 0123456789ab"),
        (Done(Result.DELETED, b"/a", other_names=2, emptied=True),
         "deleted /a: Eicar; 2 other names lead to it, which is empty now"),
        (Done(Result.QUARANTINED, b"/a", "0123456789ab", "its name is left, on an empty file: why"),
         "quarantined /a: Eicar: its name is left, on an empty file: why; guest-stub quarantine show "
         "0123456789ab"),
        (Done(Result.FAILED, b"/a", reason="No space left on device"),
         "/a: Eicar: nothing was done with it: No space left on device"),
        (Done(Result.CHANGED, b"/a", reason="it was changed since it was judged"),
         "/a: Eicar: nothing was done with it: it was changed since it was judged"),
    ],
)  # fmt: skip
async def test_what_was_done_is_a_line(
    file: Path, caplog: pytest.LogCaptureFixture, done: Done, said: str
) -> None:
    """With all that a person should know of it."""
    reporter = Reporter()
    reporter.done(Judged(BAD, DIGEST, identity(file)), done)
    reporter.close()
    assert caplog.messages == [said]


async def test_what_had_to_go_and_what_was_left_is_said(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line for each."""
    reporter = Reporter()
    reporter.done(Judged(BAD, DIGEST, identity(file)), Done(Result.DELETED, b"/a", dropped=("one went",)))
    reporter.left("/b\n", "too many")
    reporter.close()
    assert caplog.messages == [
        "deleted /a: Eicar", "quarantine: one went", "/b\\x0a: nothing was done with it: too many"
    ]  # fmt: skip


async def test_what_came_back_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """So is what could not."""
    entry = entry_of(b"content", path=b"/srv/bad\xe9")
    reporter = Reporter()
    reporter.restored(Restored(entry, ("the label was left",)))
    reporter.restored(Restored(entry, problem="somebody else has the name"))
    reporter.close()
    assert caplog.messages == [
        f"restored /srv/bad\\xe9: SHA-256 {entry.judged.sha256.hex()} is clean now; the label was left",
        "/srv/bad\\xe9 is clean and could not be restored: somebody else has the name; see guest-stub "
        "quarantine list",
    ]


def telling() -> tuple[Reporter, list[Happening]]:
    """A reporter, and what the SVM is told of."""
    reporter, told = Reporter(), list[Happening]()
    reporter.tell = told.append
    return reporter, told


async def test_the_svm_is_told_of_each_detection(file: Path) -> None:
    """Where, by whom, and what came of it; names are what they are, and no digest is anybody's word."""
    reporter, told = telling()
    waiting, judged = waiting_for(file), Judged(BAD, DIGEST, identity(file))
    reporter.blocked(waiting, judged)
    reporter.reported(waiting, judged)
    waiting.answer(False)
    with closing(holding(file)) as held:
        reporter.looked_at(held, judged)
    reporter.close()
    same = EventKind.DETECTION, os.fsencode(file), DIGEST, "Eicar"
    assert [(each.kind, each.path, each.sha256, each.threat) for each in told] == [same] * 3
    assert [(each.action, each.pid) for each in told] == [
        ("blocked", PROCESS), ("allowed", PROCESS), ("reported", 0)
    ]  # fmt: skip
    assert told[0].text == f"malicious; open by process {PROCESS}"


async def test_the_svm_is_told_where_there_was_no_verdict(file: Path) -> None:
    """With what was answered, and why."""
    reporter, told = telling()
    waiting = waiting_for(file)
    for mode in FailMode:
        reporter.fell_back(waiting, mode, "no SVM answers")
    waiting.answer(True)
    with closing(holding(file)) as held:
        reporter.unanswered(held, Judged(LinkAnswer(Outcome.NO_SVM), DIGEST, identity(file)))
    reporter.close()
    assert {(each.kind, each.path) for each in told} == {(EventKind.FALLBACK, os.fsencode(file))}
    assert [(each.action, each.text, each.pid) for each in told] == [
        ("allowed", "no SVM answers", PROCESS),
        ("denied", "no SVM answers", PROCESS),
        ("put off", "written, and no verdict: NO_SVM", 0),
    ]


async def test_the_svm_is_told_of_what_nobody_looked_at() -> None:
    """As of an overflow."""
    reporter, told = telling()
    reporter.missed("the queue was full")
    reporter.skipped("too many wait")
    reporter.close()
    assert told == [
        Happening(EventKind.OVERFLOW, "missed", text="a written file was not looked at: the queue was full"),
        Happening(EventKind.OVERFLOW, "skipped", text="an opened file was not looked at: too many wait"),
    ]


@pytest.mark.parametrize(
    ("done", "action", "text"),
    [
        (Done(Result.QUARANTINED, b"/a\xff", "0123456789ab"), "quarantined", ""),
        (Done(Result.DELETED, b"/a\xff", other_names=2, emptied=True), "deleted",
         "2 other names lead to it, which is empty now"),
        (Done(Result.FAILED, b"/a\xff", reason="No space left on device"), "left", "No space left on device"),
        (Done(Result.CHANGED, b"/a\xff"), "left", "nothing was done with it"),
    ],
)  # fmt: skip
async def test_the_svm_is_told_of_what_was_done(file: Path, done: Done, action: str, text: str) -> None:
    """Or why it could not be."""
    reporter, told = telling()
    reporter.done(Judged(BAD, DIGEST, identity(file)), done)
    reporter.close()
    assert told == [Happening(EventKind.ACTION, action, b"/a\xff", DIGEST, "Eicar", text)]


async def test_the_svm_is_told_of_the_quarantine_too() -> None:
    """What could not be begun, what had to go, what came back and what could not."""
    reporter, told = telling()
    entry = entry_of(b"content", path=b"/srv/bad\xe9")
    reporter.left("/b\udcff", "too many")
    reporter.tidied("one went")
    reporter.restored(Restored(entry))
    reporter.restored(Restored(entry, problem="somebody else has the name"))
    reporter.close()
    judged = b"/srv/bad\xe9", entry.judged.sha256, entry.judged.threat
    assert told == [
        Happening(EventKind.ACTION, "left", b"/b\xff", text="too many"),
        Happening(EventKind.ACTION, "tidied", text="quarantine: one went"),
        Happening(EventKind.ACTION, "restored", *judged, "it is clean now"),
        Happening(EventKind.ACTION, "left", *judged, "somebody else has the name"),
    ]


async def test_who_has_a_malicious_file_open_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """As is what is not looked for."""
    reporter, told = telling()
    reporter.in_use(4711, "/srv/bad\n")
    reporter.not_sought("7 files may be malicious now")
    reporter.close()
    assert [(each.kind, each.action, each.path, each.pid) for each in told] == [
        (EventKind.DETECTION, "in use", b"/srv/bad\n", 4711),
        (EventKind.OVERFLOW, "not looked for", b"", 0),
    ]
    assert caplog.messages == [
        "process 4711 has /srv/bad\\x0a open or runs it, which turned out to be malicious: nothing ends it",
        "7 files may be malicious now",
    ]


async def test_no_threat_is_hidden_behind_another(caplog: pytest.LogCaptureFixture) -> None:
    """The first line of each, and of each content, is said; of names without an end only so many."""
    throttle = Throttle()
    for number in range(1000):
        throttle.line("things", logging.INFO, f"chaff {number}", ("chaff", "1"))
    throttle.line("things", logging.INFO, "the real one", ("real", "2"))
    throttle.line("things", logging.INFO, "another content", ("chaff", "3"))
    assert caplog.messages[-2:] == ["the real one", "another content"]
    assert len(caplog.messages) == LINES_A_SECOND + 2
    for number in range(1000):
        throttle.line("things", logging.INFO, f"name {number}", (f"{number}", "1"))
        throttle.line("things", logging.INFO, f"content {number}", ("chaff", f"{number}"))
    assert len(caplog.messages) < LINES_A_SECOND + 2 * NAMES_A_SECOND + 2
    throttle.close()
