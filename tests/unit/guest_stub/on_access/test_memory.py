"""Tests of what was decided before, and what of it counts."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from guest_stub.on_access import memory as memory_module
from guest_stub.on_access import passing as passing_module
from guest_stub.on_access.judging import Judged
from guest_stub.on_access.memory import Memory, Recalled, Standing
from guest_stub.outcome import Outcome
from guest_stub.records import Record, digest_only, identify, texts
from guest_stub.svm_link.values import LinkAnswer
from tests.support.on_access_parts import (
    BAD,
    DIGEST,
    GENERATION,
    NOTHING,
    Keeping,
    Kept,
    identity,
)

GRACE = 300.0


class Bench:
    """A memory, and what it works with. ahead: of the clock, in seconds."""

    def __init__(self, file: Path) -> None:
        self.file, self.ahead, self.generation, self.reliable = file, 0.0, GENERATION, True
        self.fd = os.open(file, os.O_RDONLY)
        self.kept, self.keeping = Kept(), Keeping()
        self.memory = self.anew()

    def anew(self) -> Memory:
        """One of a stub that starts now."""
        store = self.kept, self.keeping
        return Memory(store, lambda: self.generation, lambda _fd, _device: self.reliable, GRACE)

    def keep(self, record: Record) -> None:
        """Have something be on record."""
        self.kept.records[identify(identity(self.file))] = record

    def recalled(self) -> Recalled:
        """What is known of the file."""
        return self.memory.recall(self.fd, identity(self.file))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """It, with a file that was not written just now."""
    (tmp_path / "file").write_text("hello")
    made = Bench(tmp_path / "file")
    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + made.ahead, time=lambda: time.time() + made.ahead
    )
    monkeypatch.setattr(passing_module, "SAME_TICK_NS", -(10**12))
    monkeypatch.setattr(memory_module, "time", clock)
    yield made
    os.close(made.fd)


def verdict(outcome: Outcome, seconds: float = 1e6) -> Record:
    """What is on record of a file."""
    said = texts("Eicar", "eicar", "a.com") if outcome is Outcome.MALICIOUS else b""
    return Record(GENERATION, int(time.time() + seconds), int(outcome), DIGEST, said)


def test_a_record_in_force_is_recalled_as_it_was_judged(bench: Bench) -> None:
    """With threat, engine and member."""
    bench.keep(verdict(Outcome.MALICIOUS))
    answer = LinkAnswer(Outcome.MALICIOUS, GENERATION, 0.0, "Eicar", "eicar", "a.com")
    judged = Judged(answer, DIGEST, identity(bench.file))
    assert bench.recalled() == Recalled(True, Standing.IN_FORCE, DIGEST, judged)


def test_of_a_file_that_may_change_unseen_nothing_is_recalled(bench: Bench) -> None:
    """Not even its digest."""
    bench.keep(verdict(Outcome.CLEAN))
    bench.reliable = False
    assert bench.recalled() == Recalled(reliable=False)


def test_a_digest_alone_is_no_verdict(bench: Bench) -> None:
    """And an unknown file has none."""
    assert bench.recalled() == Recalled(reliable=True)
    bench.keep(digest_only(DIGEST))
    assert bench.recalled() == Recalled(reliable=True, sha256=DIGEST)


def test_the_grace_begins_when_the_generation_is_heard(bench: Bench) -> None:
    """And not when a file is opened for the first time, days later."""
    bench.keep(verdict(Outcome.CLEAN))
    bench.generation += 1
    assert bench.memory.heard()
    assert not bench.memory.heard()
    bench.ahead = GRACE - 1
    assert bench.recalled().standing is Standing.STALE
    bench.ahead = GRACE + 1
    assert bench.recalled().standing is Standing.PAST


def test_before_any_svm_was_heard_the_grace_has_no_end(bench: Bench) -> None:
    """But a verdict that is too old is past."""
    bench.generation = 0
    bench.memory = bench.anew()
    bench.keep(verdict(Outcome.CLEAN, 10 * GRACE))
    assert bench.memory.unheard
    bench.ahead = 5 * GRACE
    assert bench.recalled().standing is Standing.STALE
    bench.ahead = 11 * GRACE
    recalled = bench.recalled()
    assert (recalled.standing, recalled.sha256) == (Standing.PAST, DIGEST)


def test_what_is_being_revoked_counts_for_nothing_but_its_digest(bench: Bench) -> None:
    """Neither recalled nor kept, until the store has forgotten it."""
    bench.keep(verdict(Outcome.CLEAN))
    bench.memory.doubt([DIGEST])
    assert bench.memory.doubts(DIGEST)
    assert bench.recalled() == Recalled(reliable=True, sha256=DIGEST)
    bench.memory.keep(bench.fd, Judged(NOTHING, DIGEST, identity(bench.file)), b"")
    assert bench.keeping.verdicts == []
    bench.memory.trust([DIGEST])
    assert bench.recalled().standing is Standing.IN_FORCE


def test_an_answer_without_a_verdict_costs_no_record(bench: Bench) -> None:
    """What an earlier verdict said is worth more than a digest that is known anyhow."""
    file = identity(bench.file)
    bench.memory.keep(bench.fd, Judged(LinkAnswer(Outcome.NO_SVM), DIGEST, file), DIGEST)
    assert bench.keeping.digests == []
    bench.memory.keep(bench.fd, Judged(LinkAnswer(Outcome.NO_SVM), DIGEST, file), b"")
    assert [looked.sha256 for looked in bench.keeping.digests] == [DIGEST]
    bench.memory.keep(bench.fd, Judged(BAD, DIGEST, file), DIGEST)
    assert [answer for _, answer in bench.keeping.verdicts] == [BAD]


def test_of_a_file_that_was_just_written_no_more_is_kept_than_where_its_content_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next change might not show; what was detected is not harmless, and needs not be looked for."""
    monkeypatch.setattr(passing_module, "SAME_TICK_NS", 10**12)
    bench.memory.keep(bench.fd, Judged(NOTHING, DIGEST, identity(bench.file)), b"")
    for judged in (Judged(NOTHING, b"", identity(bench.file)), Judged(BAD, DIGEST, identity(bench.file))):
        bench.memory.keep(bench.fd, judged, b"")
    assert (bench.keeping.verdicts, bench.keeping.digests) == ([], [])
    [looked] = bench.keeping.loose
    assert (looked.sha256, (looked.key, looked.stamp)) == (DIGEST, identify(identity(bench.file)))


def test_of_what_somebody_may_write_no_verdict_is_kept(bench: Bench) -> None:
    """While it is open for writing: what he writes through a mapping may not show in the file's times."""
    with bench.file.open("r+b"):
        bench.memory.keep(bench.fd, Judged(NOTHING, DIGEST, identity(bench.file)), b"")
        assert bench.keeping.verdicts == []
        assert len(bench.keeping.loose) == 1
    bench.memory.keep(bench.fd, Judged(NOTHING, DIGEST, identity(bench.file)), b"")
    assert len(bench.keeping.verdicts) == 1
