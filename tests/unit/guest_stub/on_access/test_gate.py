"""Tests of the gate: every event in, one answer out."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from guest_stub.on_access import gate as gate_module
from guest_stub.on_access import memory as memory_module
from guest_stub.on_access import passing as passing_module
from guest_stub.on_access.fanotify import OPEN_EXEC_PERM, OPEN_PERM, Event
from guest_stub.on_access.gate import FLIGHT_SECONDS, MOST_WAITING, Equipment, Gate
from guest_stub.on_access.memory import Memory
from guest_stub.on_access.passing import Passing
from guest_stub.on_access.policy import AccessPolicy, FailMode, Operation
from guest_stub.outcome import OPEN, VERDICTS, Outcome
from guest_stub.records import DIGEST_ONLY, Record, digest_only, identify, texts
from guest_stub.remediation.done import Action
from guest_stub.svm_link.values import LinkAnswer
from tests.support.descriptors import open_descriptors
from tests.support.held_files import until
from tests.support.on_access_parts import (
    BAD,
    DIGEST,
    GENERATION,
    NOTHING,
    Keeping,
    Kept,
    Kernel,
    Marks,
    Reports,
    Verdicts,
    event_of,
    identity,
)

PATIENT = AccessPolicy(budgets={Operation.OPEN: 100.0, Operation.EXEC: 100.0})
HASTY = replace(PATIENT, budgets={Operation.OPEN: 0.02, Operation.EXEC: 0.02})
STRICT = replace(PATIENT, fail={Operation.OPEN: FailMode.DENY, Operation.EXEC: FailMode.DENY})
UNANSWERED = sorted(set(Outcome) - VERDICTS - OPEN)


@dataclass
class Bench:
    """A gate's surroundings. reliable: whether files keep still unless their times say otherwise."""

    kernel: Kernel = field(default_factory=Kernel)
    marks: Marks = field(default_factory=Marks)
    kept: Kept = field(default_factory=Kept)
    keeping: Keeping = field(default_factory=Keeping)
    judge: Verdicts = field(default_factory=Verdicts)
    reports: Reports = field(default_factory=Reports)
    generation: int = GENERATION
    reliable: bool = True

    def gate(self, policy: AccessPolicy = PATIENT) -> Gate:
        """A gate in them."""
        return Gate(
            Equipment(
                self.kernel, Passing(self.marks), self.memory(policy.stale_grace), self.judge, self.reports
            ),
            policy,
        )

    def memory(self, grace: float) -> Memory:
        """What is known."""
        store = self.kept, self.keeping
        return Memory(store, lambda: self.generation, lambda _fd, _device: self.reliable, grace)

    async def answered(self, count: int = 1) -> list[bool]:
        """What was answered, once there are so many answers."""
        await until(lambda: len(self.kernel.answers) >= count)
        return self.kernel.allowed

    def keep(self, path: Path, outcome: Outcome, generation: int = GENERATION, until: float = 2e9) -> None:
        """Have it be known what a file is."""
        said = texts("Eicar", "eicar", "") if outcome is Outcome.MALICIOUS else b""
        record = Record(generation, int(until), int(outcome), DIGEST, said)
        self.kept.records[identify(identity(path))] = record


@pytest.fixture
def bench() -> Bench:
    """Where everything is as it should be."""
    return Bench()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file."""
    (tmp_path / "file").write_text("hello")
    return tmp_path / "file"


def rewrite(path: Path) -> None:
    """Make another file of it."""
    path.write_text("another content")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as old."""
    monkeypatch.setattr(passing_module, "SAME_TICK_NS", -(10**12))


class Clock:
    """The memory's clock, which a test sets forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        fake = SimpleNamespace(
            monotonic=lambda: time.monotonic() + self.ahead, time=lambda: time.time() + self.ahead
        )
        monkeypatch.setattr(memory_module, "time", fake)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It."""
    return Clock(monkeypatch)


# What is known, and what is asked.


async def test_an_unknown_file_waits_for_its_verdict(bench: Bench, file: Path) -> None:
    """Nothing is answered before, and then what the verdict says."""
    bench.judge.go.clear()
    gate = bench.gate()
    gate.event(event_of(file))
    await until(lambda: bool(bench.judge.asked))
    assert bench.kernel.answers == []
    bench.judge.go.set()
    assert await bench.answered() == [True]
    assert bench.judge.asked == [(identity(file), b"")]
    assert (gate.counts["asked"], gate.counts["judged"]) == (1, 1)


async def test_a_malicious_file_is_denied_and_reported(bench: Bench, file: Path) -> None:
    """With its path, before the process goes on."""
    bench.judge.answer = BAD
    gate = bench.gate()
    gate.event(event_of(file))
    assert await bench.answered() == [False]
    [(path, judged)] = bench.reports.blocks
    assert (path, judged.answer.threat, judged.sha256) == (str(file), "Eicar", DIGEST)
    assert gate.counts["blocked"] == 1
    assert bench.marks.tried == 0


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    ("outcome", "allow"),
    [
        (Outcome.CLEAN, True),
        (Outcome.NOT_DETECTED, True),
        (Outcome.SUSPICIOUS, True),
        (Outcome.MALICIOUS, False),
    ],
)
async def test_a_known_file_is_answered_at_once(
    bench: Bench, file: Path, outcome: Outcome, allow: bool
) -> None:
    """Before the loop does anything else; what is allowed is marked, what is denied is not."""
    bench.keep(file, outcome)
    gate = bench.gate()
    gate.event(event_of(file))
    assert bench.kernel.allowed == [allow]
    assert bench.judge.asked == []
    assert gate.counts["known"] == 1
    assert bench.marks.marked == ([identity(file).ino] if allow else [])
    assert [judged.answer.threat for _, judged in bench.reports.blocks] == ([] if allow else ["Eicar"])


@pytest.mark.parametrize("what", ["digest", "late", "changed"])
async def test_what_does_not_count_is_asked_about(bench: Bench, file: Path, clock: Clock, what: str) -> None:
    """A digest alone, and a verdict that is too old, spare reading; one of the file as it was does not."""
    if what == "digest":
        bench.kept.records[identify(identity(file))] = digest_only(DIGEST)
    else:
        bench.keep(file, Outcome.CLEAN, until=time.time() + 60)
    if what == "late":
        clock.ahead = 61.0
    if what == "changed":
        rewrite(file)
    bench.judge.answer = BAD
    bench.gate().event(event_of(file))
    assert await bench.answered() == [False]
    assert bench.judge.asked == [(identity(file), b"" if what == "changed" else DIGEST)]


async def test_what_is_empty_or_no_file_is_let_through(bench: Bench, tmp_path: Path) -> None:
    """There is nothing in it; nobody is asked."""
    (tmp_path / "empty").touch()
    gate = bench.gate(STRICT)
    before = open_descriptors()
    for path in (tmp_path / "empty", tmp_path, Path("/dev/null")):
        gate.event(event_of(path))
    assert bench.kernel.allowed == [True] * 3
    assert bench.judge.asked == []
    assert open_descriptors() <= before


async def test_who_comes_later_waits_with_the_others(bench: Bench, file: Path, tmp_path: Path) -> None:
    """One look serves all who wait for a file; another file is another look."""
    (tmp_path / "other").write_text("hello")
    bench.judge.go.clear()
    gate = bench.gate()
    for _ in range(3):
        gate.event(event_of(file))
    await until(lambda: len(bench.judge.asked) == 1)
    gate.event(event_of(file, OPEN_EXEC_PERM))
    gate.event(event_of(tmp_path / "other"))
    bench.judge.go.set()
    assert await bench.answered(5) == [True] * 5
    assert len(bench.judge.asked) == 2
    assert gate.counts["judged"] == 2
    bench.judge.answer = BAD
    gate.event(event_of(file))
    assert (await bench.answered(6))[-1] is False
    assert len(bench.judge.asked) == 3


async def test_a_file_that_was_changed_meanwhile_is_another(bench: Bench, file: Path) -> None:
    """Who opens it then does not get the verdict of what it was."""
    bench.judge.go.clear()
    gate = bench.gate()
    gate.event(event_of(file))
    await until(lambda: len(bench.judge.asked) == 1)
    rewrite(file)
    gate.event(event_of(file))
    await until(lambda: len(bench.judge.asked) == 2)
    bench.judge.go.set()
    await bench.answered(2)
    assert bench.judge.asked[0] != bench.judge.asked[1]


# What is kept.


@pytest.mark.usefixtures("settled")
async def test_a_verdict_is_kept_before_the_process_goes_on(bench: Bench, file: Path) -> None:
    """So is the mark; the next one who opens the file need not wait."""
    seen: list[tuple[int, int]] = []
    answer = bench.kernel.answer

    def note(event: Event, allow: bool) -> None:
        seen.append((len(bench.keeping.verdicts), len(bench.marks.marked)))
        answer(event, allow)

    bench.kernel.answer = note  # type: ignore[method-assign]
    bench.gate().event(event_of(file))
    await bench.answered()
    assert seen == [(1, 1)]
    [(looked, kept)] = bench.keeping.verdicts
    assert (looked.key, looked.stamp) == identify(identity(file))
    assert (looked.sha256, kept) == (DIGEST, NOTHING)


async def test_a_file_that_was_just_written_is_neither_kept_nor_marked(bench: Bench, file: Path) -> None:
    """A further change of it might not show."""
    bench.gate().event(event_of(file))
    assert await bench.answered() == [True]
    assert (bench.keeping.verdicts, bench.keeping.digests, bench.marks.tried) == ([], [], 0)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("outcome", UNANSWERED)
async def test_no_answer_is_never_kept(bench: Bench, file: Path, outcome: Outcome) -> None:
    """The digest is, so that the file need not be read again; a file is marked where it was let through
    for what it is, and not where the fail mode let it through.
    """
    bench.judge.answer = LinkAnswer(outcome, reason="for some reason")
    gate = bench.gate()
    gate.event(event_of(file))
    assert await bench.answered() == [True]
    assert bench.keeping.verdicts == []
    assert [looked.sha256 for looked in bench.keeping.digests] == [DIGEST]
    let_through = outcome in (Outcome.TOO_LARGE, Outcome.ENCRYPTED)
    assert bench.marks.marked == ([identity(file).ino] if let_through else [])
    assert bench.reports.fallbacks == ([] if let_through else [(FailMode.ALLOW, "for some reason")])


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("answer", [NOTHING, BAD])
async def test_what_did_not_keep_still_is_answered_and_neither_kept_nor_marked(
    bench: Bench, file: Path, answer: LinkAnswer
) -> None:
    """Its times say nothing of its content: the next open is looked at again."""
    bench.judge.answer, bench.judge.still = answer, False
    gate = bench.gate(PATIENT)
    gate.event(event_of(file))
    assert await bench.answered(1) == [answer is NOTHING]
    assert (bench.keeping.verdicts, bench.keeping.digests, bench.marks.tried) == ([], [], 0)
    gate.event(event_of(file))
    await bench.answered(2)
    assert len(bench.judge.asked) == 2


async def test_a_content_that_is_known_to_be_bad_is_denied_when_the_time_is_over(
    bench: Bench, file: Path
) -> None:
    """The SVM is asked still; the fail mode has no say."""
    bench.judge.go.clear()
    bench.judge.known = BAD
    gate = bench.gate(replace(PATIENT, budgets=dict.fromkeys(Operation, 0.01)))
    gate.event(event_of(file))
    assert await bench.answered(1) == [False]
    assert (len(bench.reports.blocks), bench.reports.fallbacks) == (1, [])
    bench.judge.go.set()


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("outcome", [Outcome.CHANGED, Outcome.NO_SVM, Outcome.OVERLOADED, Outcome.TIMED_OUT])
async def test_without_a_verdict_the_fail_mode_answers(bench: Bench, file: Path, outcome: Outcome) -> None:
    """Of the operation; where no reason is given the outcome is named; the next one asks again. No program is
    started that changes whenever it is read.
    """
    bench.judge.answer = LinkAnswer(outcome)
    bench.judge.sha256 = b""
    policy = replace(PATIENT, fail={Operation.OPEN: FailMode.DENY, Operation.EXEC: FailMode.ALLOW})
    gate = bench.gate(policy)
    gate.event(event_of(file, OPEN_PERM))
    gate.event(event_of(file, OPEN_EXEC_PERM))
    exec_mode = FailMode.DENY if outcome is Outcome.CHANGED else FailMode.ALLOW
    assert await bench.answered(2) == [False, exec_mode is FailMode.ALLOW]
    assert bench.reports.fallbacks == [(FailMode.DENY, outcome.name), (exec_mode, outcome.name)]
    assert (bench.keeping.verdicts, bench.keeping.digests, bench.marks.marked) == ([], [], [])
    gate.event(event_of(file))
    await bench.answered(3)
    assert len(bench.judge.asked) == 2


async def test_the_fail_mode_may_be_that_of_a_directory(bench: Bench, file: Path) -> None:
    """By the path that the file has then."""
    bench.judge.answer = LinkAnswer(Outcome.NO_SVM)
    gate = bench.gate(replace(PATIENT, fail_mounts={str(file.parent): FailMode.DENY}))
    gate.event(event_of(file))
    assert await bench.answered() == [False]


async def test_a_path_that_only_the_process_sees_gets_the_strictest_fail_mode(
    bench: Bench, file: Path, tmp_path: Path
) -> None:
    """Who mounts a directory elsewhere, for himself alone, does not get out of its fail mode."""
    bench.judge.answer = LinkAnswer(Outcome.NO_SVM)
    gate = bench.gate(replace(PATIENT, fail_mounts={str(tmp_path / "other"): FailMode.DENY}))
    gate.event(event_of(file))
    assert await bench.answered() == [True]
    gate.is_ours = lambda _fd: False
    gate.event(event_of(file))
    assert await bench.answered(2) == [True, False]


@pytest.mark.usefixtures("settled")
async def test_files_that_may_change_unseen_are_asked_about_each_time(bench: Bench, file: Path) -> None:
    """What is kept of them does not count, nothing is kept, and they get no mark."""
    bench.reliable = False
    bench.keep(file, Outcome.CLEAN)
    bench.judge.answer = BAD
    gate = bench.gate()
    gate.event(event_of(file))
    assert await bench.answered() == [False]
    bench.judge.answer = NOTHING
    gate.event(event_of(file))
    assert await bench.answered(2) == [False, True]
    assert [sha256 for _, sha256 in bench.judge.asked] == [b"", b""]
    assert (bench.keeping.verdicts, bench.keeping.digests, bench.marks.tried) == ([], [], 0)


async def test_files_that_may_change_unseen_are_not_waited_for_together(bench: Bench, file: Path) -> None:
    """Two that look the same need not be the same."""
    bench.reliable = False
    bench.judge.go.clear()
    gate = bench.gate()
    for _ in range(2):
        gate.event(event_of(file))
    await until(lambda: bool(bench.judge.asked))
    bench.judge.go.set()
    await bench.answered(2)
    assert len(bench.judge.asked) == 2


# Signatures of before.


async def test_earlier_signatures_count_for_a_while(bench: Bench, file: Path, clock: Clock) -> None:
    """When they change, not every file is asked about in the same moment."""
    bench.keep(file, Outcome.CLEAN)
    gate = bench.gate()
    bench.generation = GENERATION + 1
    gate.event(event_of(file))
    clock.ahead = PATIENT.stale_grace - 10
    gate.event(event_of(file))
    assert bench.kernel.allowed == [True, True]
    clock.ahead = PATIENT.stale_grace + 10
    bench.judge.answer = BAD
    gate.event(event_of(file))
    assert await bench.answered(3) == [True, True, False]
    assert bench.judge.asked == [(identity(file), DIGEST)]


async def test_the_grace_begins_anew_with_each_change(bench: Bench, file: Path, clock: Clock) -> None:
    """And is none where none is wanted."""
    bench.keep(file, Outcome.CLEAN)
    gate = bench.gate()
    clock.ahead = PATIENT.stale_grace * 2
    bench.generation += 1
    gate.event(event_of(file))
    assert bench.kernel.allowed == [True]
    bench.judge.answer = BAD
    gate = bench.gate(replace(PATIENT, stale_grace=0.0))
    gate.event(event_of(file))
    assert await bench.answered(2) == [True, False]


async def test_the_grace_makes_nothing_of_a_digest_or_of_what_is_too_old(
    bench: Bench, file: Path, clock: Clock
) -> None:
    """There is no verdict, or none any more."""
    bench.judge.answer = BAD
    gate = bench.gate()
    bench.generation += 1
    bench.kept.records[identify(identity(file))] = Record(GENERATION, 2**31, DIGEST_ONLY, DIGEST)
    gate.event(event_of(file))
    bench.keep(file, Outcome.CLEAN, until=time.time() - 1)
    gate.event(event_of(file))
    assert await bench.answered(2) == [False, False]


@pytest.mark.usefixtures("settled")
async def test_what_earlier_signatures_say_gets_no_mark(bench: Bench, file: Path) -> None:
    """The kernel would not ask again when the grace is over."""
    bench.keep(file, Outcome.CLEAN)
    gate = bench.gate()
    bench.generation += 1
    gate.event(event_of(file))
    assert bench.kernel.allowed == [True]
    assert bench.marks.marked == []


async def test_what_earlier_signatures_let_through_is_looked_at_anew(bench: Bench, file: Path) -> None:
    """The process does not wait for it; the next one gets what comes of it."""
    bench.keep(file, Outcome.CLEAN)
    gate = bench.gate()
    bench.generation += 1
    gate.event(event_of(file))
    assert bench.kernel.allowed == [True]
    for _ in range(10):
        await asyncio.sleep(0)
    assert bench.judge.asked == [(identity(file), DIGEST)]


@pytest.mark.parametrize("outcome", [Outcome.NO_SVM, Outcome.TIMED_OUT, Outcome.OVERLOADED])
async def test_what_is_on_record_as_malicious_stays_denied(
    bench: Bench, file: Path, clock: Clock, outcome: Outcome
) -> None:
    """Until somebody says otherwise: the fail mode is for what nobody knows."""
    bench.keep(file, Outcome.MALICIOUS, until=time.time() + 60)
    clock.ahead = PATIENT.stale_grace * 2
    gate = bench.gate()
    bench.generation += 1
    clock.ahead *= 2
    bench.judge.answer = LinkAnswer(outcome)
    gate.event(event_of(file))
    assert await bench.answered() == [False]
    assert bench.reports.fallbacks == []
    assert [judged.answer.threat for _, judged in bench.reports.blocks] == ["Eicar"]
    assert (bench.keeping.verdicts, bench.keeping.digests) == ([], [])
    bench.judge.answer = NOTHING
    gate.event(event_of(file))
    assert await bench.answered(2) == [False, True]


async def test_the_crowd_does_not_open_what_was_malicious(
    bench: Bench, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a budget that is spent, nor the end of the stub."""
    monkeypatch.setattr(gate_module, "MOST_WAITING", 1)
    (tmp_path / "other").write_text("hello")
    bench.keep(file, Outcome.MALICIOUS, until=time.time() - 1)
    bench.judge.go.clear()
    gate = bench.gate(HASTY)
    gate.event(event_of(file))
    assert await bench.answered() == [False]
    gate.policy = PATIENT
    gate.event(event_of(tmp_path / "other"))
    gate.event(event_of(file))
    assert bench.kernel.allowed == [False, False]
    await gate.close()
    assert bench.kernel.allowed == [False, False, True]


async def test_without_any_svm_so_far_what_is_known_goes_on(bench: Bench, file: Path, clock: Clock) -> None:
    """After a restart of the machine, however long no SVM answers; it gets no mark, and nobody is asked."""
    bench.keep(file, Outcome.CLEAN)
    bench.generation = 0
    gate = bench.gate(STRICT)
    clock.ahead = PATIENT.stale_grace * 10
    gate.event(event_of(file))
    assert bench.kernel.allowed == [True]
    await asyncio.sleep(0)
    assert (bench.judge.asked, bench.marks.tried) == ([], 0)


async def test_looks_for_which_nobody_waits_are_bounded(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New signatures must not have a whole disk read at once."""
    monkeypatch.setattr(gate_module, "MOST_LOOKS", 2)
    gate = bench.gate()
    bench.generation += 1
    bench.judge.go.clear()
    for number in range(5):
        (tmp_path / str(number)).write_text("hello")
        bench.keep(tmp_path / str(number), Outcome.CLEAN)
        gate.event(event_of(tmp_path / str(number)))
    await until(lambda: len(bench.judge.asked) == 2)
    assert bench.kernel.allowed == [True] * 5
    await gate.close()


@pytest.mark.usefixtures("settled")
async def test_with_report_a_detection_is_let_through_and_said(bench: Bench, file: Path) -> None:
    """Each time, so it gets no mark; whether it was asked about or is known."""
    bench.judge.answer = BAD
    gate = bench.gate(replace(PATIENT, action=Action.REPORT))
    gate.event(event_of(file))
    assert await bench.answered() == [True]
    bench.keep(file, Outcome.MALICIOUS)
    gate.event(event_of(file))
    assert await bench.answered(2) == [True, True]
    assert [path for path, _ in bench.reports.reports] == [str(file)] * 2
    assert (bench.reports.blocks, bench.marks.tried) == ([], 0)


# One answer, whatever happens.


def raises(bench: Bench) -> None:
    """The judge has a fault."""
    bench.judge.error = ZeroDivisionError("a fault")


def cancels(bench: Bench) -> None:
    """The judge is cancelled by somebody."""
    bench.judge.error = asyncio.CancelledError()


def hangs(bench: Bench) -> None:
    """The judge never answers."""
    bench.judge.go.clear()


def killed(bench: Bench) -> None:
    """The process was killed: the kernel refuses the answer."""
    bench.kernel.refuses = True


def keeps_badly(bench: Bench) -> None:
    """The store has a fault."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    bench.keeping.keep = fail  # type: ignore[method-assign, assignment]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("wrong", [raises, cancels, hangs, killed, keeps_badly])
async def test_everybody_gets_one_answer_whatever_goes_wrong(
    bench: Bench, file: Path, tmp_path: Path, wrong: Callable[[Bench], None]
) -> None:
    """Within the budget; no descriptor is left, and the next one is looked at again."""
    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    before = open_descriptors()
    wrong(bench)
    gate = bench.gate(HASTY)
    (tmp_path / "other").write_text("hello")
    events = [event_of(path) for path in (file, file, tmp_path / "other")]
    for event in events:
        gate.event(event)
    assert await bench.answered(3) == [True] * 3
    await gate.close()
    assert sorted(event.fd for event, _ in bench.kernel.answers) == sorted(event.fd for event in events)
    assert open_descriptors() <= before
    bench.judge = Verdicts(BAD)
    after = bench.gate()
    after.event(event_of(file))
    assert (await bench.answered(4))[-1] is False


@pytest.mark.parametrize("mode", FailMode)
async def test_when_the_budget_is_spent_the_fail_mode_answers(
    bench: Bench, file: Path, mode: FailMode
) -> None:
    """The look goes on, and what is learnt is for the next one; who was answered is not answered again."""
    bench.judge.go.clear()
    gate = bench.gate(replace(HASTY, fail=dict.fromkeys(Operation, mode)))
    gate.event(event_of(file))
    assert await bench.answered() == [mode is FailMode.ALLOW]
    assert bench.reports.fallbacks == [(mode, "no verdict in time")]
    bench.judge.answer = BAD
    bench.judge.go.set()
    await until(lambda: gate.counts["judged"] == 1)
    await asyncio.sleep(0)
    assert len(bench.kernel.answers) == 1
    assert bench.reports.blocks == []
    assert gate.counts["fell_back"] == 1
    assert bench.judge.seconds == [FLIGHT_SECONDS]


async def test_who_comes_when_others_ran_out_of_time_has_his_own(bench: Bench, file: Path) -> None:
    """He joins the look that is under way, with a whole budget."""
    bench.judge.go.clear()
    gate = bench.gate(HASTY)
    gate.event(event_of(file))
    await bench.answered()
    gate.policy = PATIENT
    gate.event(event_of(file))
    bench.judge.answer = BAD
    bench.judge.go.set()
    assert await bench.answered(2) == [True, False]
    assert len(bench.judge.asked) == 1


async def test_a_report_that_fails_does_not_keep_the_answer(bench: Bench, file: Path) -> None:
    """It must not, but should it, the process goes on or is kept back all the same."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    bench.reports.blocked = bench.reports.fell_back = fail  # type: ignore[method-assign, assignment]
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    bench.judge.answer = BAD
    gate = bench.gate(HASTY)
    gate.event(event_of(file))
    assert await bench.answered() == [False]
    bench.judge.go.clear()
    gate.event(event_of(file))
    assert await bench.answered(2) == [False, True]
    await gate.close()


async def test_so_many_may_wait_and_no_more(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more gets the fail mode's answer at once; when there is room again, the next one waits."""
    assert MOST_WAITING >= 1000
    monkeypatch.setattr(gate_module, "MOST_WAITING", 3)
    paths = [tmp_path / str(number) for number in range(5)]
    for path in paths:
        path.write_text("hello")
    bench.judge.go.clear()
    gate = bench.gate(STRICT)
    for path in paths[:3]:
        gate.event(event_of(path))
    assert bench.kernel.answers == []
    before = open_descriptors()
    gate.event(event_of(paths[3]))
    assert bench.kernel.allowed == [False]
    assert gate.counts["turned_away"] == 1
    assert open_descriptors() <= before
    bench.judge.go.set()
    assert await bench.answered(4) == [False, True, True, True]
    gate.event(event_of(paths[4]))
    assert (await bench.answered(5))[-1] is True
    assert gate.counts["turned_away"] == 1


async def test_a_crowd_that_waits_lets_nothing_known_through(
    bench: Bench, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known needs no room."""
    monkeypatch.setattr(gate_module, "MOST_WAITING", 1)
    (tmp_path / "other").write_text("hello")
    bench.keep(file, Outcome.MALICIOUS)
    bench.judge.go.clear()
    gate = bench.gate()
    gate.event(event_of(tmp_path / "other"))
    gate.event(event_of(file))
    allowed = bench.kernel.allowed
    await gate.close()
    assert allowed == [False]


async def test_without_a_descriptor_the_fail_mode_answers_at_once(
    bench: Bench, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with one, the next who opens the file is asked about."""

    def full(_fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    gate = bench.gate(STRICT)
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", full)
        event = event_of(file)
        gate.event(event)
    assert bench.kernel.answers == [(event, False)]
    gate.event(event_of(file))
    assert await bench.answered(2) == [False, True]


@pytest.mark.usefixtures("settled")
async def test_a_mark_that_fails_for_one_does_not_hold_up_the_others(bench: Bench, file: Path) -> None:
    """Each of them is answered by the verdict."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    def gone() -> None:
        raise ZeroDivisionError("a fault")

    bench.marks.during = gone
    bench.judge.answer = NOTHING
    gate = bench.gate()
    for _ in range(3):
        gate.event(event_of(file))
    await until(lambda: bool(bench.kernel.answers))
    allowed = bench.kernel.allowed
    await gate.close()
    assert allowed == [True] * 3


# The end.


async def test_closing_answers_all_who_wait_by_the_fail_mode(bench: Bench, file: Path) -> None:
    """At once, each once, and no look goes on."""
    bench.judge.go.clear()
    before, tasks = open_descriptors(), len(asyncio.all_tasks())
    gate = bench.gate(STRICT)
    for _ in range(3):
        gate.event(event_of(file))
    await until(lambda: bool(bench.judge.asked))
    await gate.close()
    assert bench.kernel.allowed == [False] * 3
    assert open_descriptors() <= before
    assert len(asyncio.all_tasks()) == tasks
    await gate.close()
    assert len(bench.kernel.answers) == 3


async def test_closing_leaves_no_descriptor_of_a_look_that_did_not_begin(bench: Bench, file: Path) -> None:
    """It is closed in the same turn of the loop that the event came in."""
    before = open_descriptors()
    gate = bench.gate()
    gate.event(event_of(file))
    await gate.close()
    assert bench.kernel.allowed == [True]
    assert open_descriptors() <= before


async def test_thousands_of_events_leave_nothing_behind(bench: Bench, tmp_path: Path) -> None:
    """No descriptor, task, thread or flight; each event has its answer."""
    before, threads = open_descriptors(), threading.active_count()
    paths = [tmp_path / str(number) for number in range(20)]
    for path in paths:
        path.write_text("hello")
    gate = bench.gate()
    for number in range(2000):
        gate.event(event_of(paths[number % 20]))
        if number % 50 == 0:
            await asyncio.sleep(0)
    assert await bench.answered(2000) == [True] * 2000
    assert open_descriptors() <= before
    assert threading.active_count() == threads
    assert gate.counts["asked"] == 2000
    assert gate.counts["judged"] == len(bench.judge.asked)
