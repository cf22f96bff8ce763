"""What the daemon says: a line for each thing that matters, and one for many that are alike."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from guest_stub.console import printable
from guest_stub.ends import words
from guest_stub.journal import Entry
from guest_stub.on_access.answering import Waiting, path_of
from guest_stub.on_access.judging import HeldFile, Judged
from guest_stub.on_access.merging import Happening
from guest_stub.on_access.policy import FailMode
from guest_stub.outcome import DETECTIONS
from guest_stub.remediation.done import Done, Result
from guest_stub.remediation.quarantine import Restored
from guest_stub.report import FileEnd
from guest_stub.svm_link.values import EventKind

LINES_A_SECOND: Final = 20  # of one kind; of the rest it is said how many they were
NAMES_A_SECOND: Final = 200  # first lines of a threat, beside these
_ANSWERED = {FailMode.ALLOW: "allowed", FailMode.DENY: "denied"}
_DONE = frozenset({Result.QUARANTINED, Result.DELETED})
_UNDONE = "nothing was done with it"
log = logging.getLogger("guest-stub")


class Throttle:
    """Lines of several kinds, so that none fills the log. Serves one event loop."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: Counter[str] = Counter()
        self._names: tuple[set[str], ...] = (set(), set())  # of this second, each with its kind
        self._timer: asyncio.TimerHandle | None = None

    def line(self, kind: str, level: int, text: str, names: tuple[str, ...] = ()) -> None:
        """Say a line, or count it. kind: in the plural, what such lines are about. names: a threat, and a
        content that has it; the first line of each is said for longer, so that others do not hide it.
        """
        self._said[kind] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(1.0, self.sum_up)
        new = False
        for name, said in zip(names, self._names, strict=False):
            if name and f"{kind} {name}" not in said and len(said) < NAMES_A_SECOND:
                said.add(f"{kind} {name}")
                new = True
        if self._said[kind] <= LINES_A_SECOND or new:
            log.log(level, "%s", text)

    def sum_up(self) -> None:
        """Say what was counted, and begin anew."""
        self._timer = None
        for said in self._names:
            said.clear()
        for kind, count in self._said.items():
            if count > LINES_A_SECOND:
                log.warning("and %d more %s in the last second", count - LINES_A_SECOND, kind)
        self._said.clear()

    def close(self) -> None:
        """Say what was counted."""
        if self._timer is not None:
            self._timer.cancel()
            self.sum_up()


class Reporter:
    """The Reports of all parts. let_through: told of what had no verdict, and unknown of what was written and
    had none, which says whether it is noted for later. on_missed: told that files were written which nobody
    looked at. on_detection: told the descriptor of each file that was detected, which stays open until it
    returns. tell: told of all that the SVM should hear of. take: see searching.Finds.
    """

    def __init__(self) -> None:
        """Nothing was reported yet."""
        self.counts = dict.fromkeys(("blocked", "found", "fell_back", "missed"), 0)
        self.on_missed: Callable[[], None] = lambda: None
        self.let_through: Callable[[Waiting], None] = lambda _waiting: None
        self.unknown: Callable[[HeldFile], bool] = lambda _held: True
        self.on_detection: Callable[[int, Judged], None] = lambda _fd, _judged: None
        self.tell: Callable[[Happening], None] = lambda _happening: None
        self.take: Callable[[Entry, int], bool] = lambda _entry, _name: False
        self._throttle = Throttle()

    def blocked(self, waiting: Waiting, judged: Judged) -> None:
        """See gate.Reports."""
        how = f"{waiting.operation} by process {waiting.event.pid}"
        self._detection("blocked", waiting.event.fd, judged, how, waiting.event.pid)

    def reported(self, waiting: Waiting, judged: Judged) -> None:
        """See gate.Reports."""
        how = f"{waiting.operation} by process {waiting.event.pid} was let through, as the settings say"
        self._detection("found", waiting.event.fd, judged, how, waiting.event.pid)

    def fell_back(self, waiting: Waiting, mode: FailMode, why: str) -> None:
        """See gate.Reports."""
        self.counts["fell_back"] += 1
        if mode is FailMode.ALLOW:
            self.let_through(waiting)
        self._throttle.line(
            "answers without a verdict",
            logging.WARNING,
            f"no verdict: {waiting.operation} of {printable(waiting.path())} by process {waiting.event.pid} "
            f"was answered with {mode}: {printable(why)}",
        )
        path, pid = os.fsencode(waiting.path()), waiting.event.pid
        self.tell(Happening(EventKind.FALLBACK, _ANSWERED[mode], path, text=why, pid=pid))

    def looked_at(self, held: HeldFile, judged: Judged) -> None:
        """See afterwards.Reports."""
        if judged.answer.outcome in DETECTIONS:
            self._detection("found", held.fd, judged, "looked at afterwards")

    def scanned(self, file: FileEnd) -> None:
        """An ordered scan has detected a file, which is looked at again."""
        outcome, threat, sha256 = words(file.end), file.threat, file.sha256
        said = f"{printable(file.path)}: {printable(threat)} ({outcome}), SHA-256 {sha256.hex()}"
        names = (threat, sha256.hex())
        self._throttle.line("detections", logging.WARNING, f"a scan has detected {said}", names)
        told = Happening(EventKind.DETECTION, "reported", os.fsencode(file.path), sha256, threat)
        self.tell(told._replace(text=f"{outcome}; detected by a scan"))

    def unanswered(self, held: HeldFile, judged: Judged) -> None:
        """See afterwards.Reports."""
        noted = self.unknown(held)
        then = "will be looked at later" if noted else "is not noted to be looked at later"
        why = judged.answer.reason or judged.answer.outcome.name
        self._throttle.line(
            "written files without a verdict",
            logging.WARNING,
            f"no verdict: {printable(path_of(held.fd))} {then}: {printable(why)}",
        )
        path = os.fsencode(path_of(held.fd))
        self.tell(Happening(EventKind.FALLBACK, "put off", path, text=f"written, and no verdict: {why}"))

    def skipped(self, why: str) -> None:
        """See afterwards.Reports."""
        self._throttle.line("opened files", logging.WARNING, f"an opened file was not looked at: {why}")
        self.tell(Happening(EventKind.OVERFLOW, "skipped", text=f"an opened file was not looked at: {why}"))

    def missed(self, why: str) -> None:
        """See afterwards.Reports."""
        self.counts["missed"] += 1
        self.on_missed()
        self._throttle.line("missed files", logging.ERROR, f"a written file was not looked at: {why}")
        self.tell(Happening(EventKind.OVERFLOW, "missed", text=f"a written file was not looked at: {why}"))

    def done(self, judged: Judged, done: Done) -> None:
        """See acting.Reports."""
        path, threat = printable(os.fsdecode(done.path)), printable(judged.answer.threat)
        said = f"{done.result} {path}: {threat}" if done.result in _DONE else f"{path}: {threat}: {_UNDONE}"
        entry = f"; guest-stub quarantine show {done.entry}" if done.entry else ""
        names = f"; {done.other_names} other names lead to it" if done.other_names else ""
        names += ", which is empty now" if done.emptied and done.other_names else ""
        reason = f": {printable(done.reason)}" if done.reason else ""
        level = logging.WARNING if done.result in _DONE else logging.ERROR
        self._throttle.line("actions", level, f"{said}{reason}{names}{entry}", _names_of(judged))
        action, why = (done.result, done.reason) if done.result in _DONE else ("left", done.reason or _UNDONE)
        text = f"{why}{names}".removeprefix("; ")
        self.tell(Happening(EventKind.ACTION, action, done.path, judged.sha256, judged.answer.threat, text))
        for sentence in done.dropped:
            self.tidied(sentence)

    def left(self, path: str, why: str) -> None:
        """See acting.Reports."""
        self._throttle.line("actions", logging.ERROR, f"{printable(path)}: {_UNDONE}: {printable(why)}")
        self.tell(Happening(EventKind.ACTION, "left", os.fsencode(path), text=why))

    def tidied(self, sentence: str) -> None:
        """See acting.Reports."""
        self._throttle.line("words on the quarantine", logging.WARNING, f"quarantine: {sentence}")
        self.tell(Happening(EventKind.ACTION, "tidied", text=f"quarantine: {sentence}"))

    def in_use(self, process: int, path: str) -> None:
        """See searching.Finds."""
        said = f"process {process} has {printable(path)} open or runs it, which turned out to be malicious"
        self._throttle.line("processes", logging.WARNING, f"{said}: nothing ends it")
        text = "it has a file open or runs it that turned out to be malicious: nothing ends it"
        self.tell(Happening(EventKind.DETECTION, "in use", os.fsencode(path), text=text, pid=process))

    def not_sought(self, why: str) -> None:
        """See searching.Finds."""
        self._throttle.line("words on files to look for", logging.ERROR, why)
        self.tell(Happening(EventKind.OVERFLOW, "not looked for", text=why))

    def not_replayed(self, why: str) -> None:
        """See replaying.Reports."""
        self._throttle.line("words on what was let through", logging.ERROR, why)
        self.tell(Happening(EventKind.OVERFLOW, "not looked at", text=why))

    def not_noted(self) -> None:
        """See replaying.Reports."""
        why = (
            "there is no room to note more files without a verdict: what is watched is walked for those that "
        )
        why += "were changed, when an SVM has looked at the others; the rest is looked at when it is opened"
        self._throttle.line("files that are not noted", logging.ERROR, why)
        self.tell(Happening(EventKind.OVERFLOW, "not noted", text=why))

    def not_found(self, entries: Sequence[Entry]) -> None:
        """See replaying.Reports."""
        first = next((entry for entry in entries if entry.operation == "scan"), entries[0])
        why = "it was to be looked at again, and is not found: deleted, or hidden"
        more = f"; and {len(entries) - 1} more" if len(entries) > 1 else ""
        said = f"{printable(first.path)}: {why}{more}"
        self._throttle.line("files that are not found", logging.WARNING, said)
        path = os.fsencode(first.path)
        self.tell(Happening(EventKind.OVERFLOW, "not found", path, text=f"{why}{more}"))

    def given_up(self, path: str) -> None:
        """See replaying.Reports."""
        why = "nobody could say what it is, again and again: it is asked about when it is opened"
        self._throttle.line("files without a verdict", logging.WARNING, f"{printable(path)}: {why}")
        self.tell(Happening(EventKind.OVERFLOW, "not looked at", os.fsencode(path), text=why))

    def restored(self, restored: Restored) -> None:
        """See undoing.Reports."""
        path, judged = printable(os.fsdecode(restored.entry.path)), restored.entry.judged
        action, why = ("left", restored.problem) if restored.problem else ("restored", "it is clean now")
        self.tell(Happening(EventKind.ACTION, action, judged.path, judged.sha256, judged.threat, why))
        if restored.problem:
            said = f"{path} is clean and could not be restored: {printable(restored.problem)}"
            self._throttle.line("restored files", logging.ERROR, f"{said}; see guest-stub quarantine list")
            return
        left = "".join(f"; {printable(sentence)}" for sentence in restored.left)
        said = f"restored {path}: SHA-256 {judged.sha256.hex()} is clean now{left}"
        self._throttle.line("restored files", logging.WARNING, said)

    def _detection(self, what: str, fd: int, judged: Judged, how: str, pid: int = 0) -> None:
        """pid: who wanted to open it, 0 where nobody waited."""
        self.counts[what] += 1
        answer, path = judged.answer, path_of(fd)
        called = printable(path) or "a file whose name cannot be told"
        self._throttle.line(
            "detections",
            logging.WARNING,
            f"{what} {called}: {printable(answer.threat)} ({answer.outcome.name.lower()}), "
            f"SHA-256 {judged.sha256.hex()}; {how}",
            _names_of(judged),
        )
        action = "blocked" if what == "blocked" else "allowed" if pid else "reported"
        told = Happening(EventKind.DETECTION, action, os.fsencode(path), judged.sha256, answer.threat)
        self.tell(told._replace(text=f"{answer.outcome.name.lower()}; {how}", pid=pid))
        self.on_detection(fd, judged)

    def close(self) -> None:
        """Say what was counted."""
        self._throttle.close()


def _names_of(judged: Judged) -> tuple[str, ...]:
    """What is not to be hidden: the threat, and the content, as engines call many contents the same."""
    return judged.answer.threat, judged.sha256.hex()
