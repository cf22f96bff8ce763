"""Tests of what comes back when a verdict turns out to be wrong."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

import pytest

from guest_stub.on_access import undoing
from guest_stub.on_access.undoing import Undoing
from guest_stub.outcome import OPEN, Outcome
from guest_stub.remediation.quarantine import Quarantine, Restored
from guest_stub.svm_link.values import LinkAnswer
from tests.support.held_files import until
from tests.support.quarantined import bad_file, quarantine, take

ONE, OTHER = b"one content", b"another content"
HARMLESS = {Outcome.CLEAN, Outcome.NOT_DETECTED}


def digest(content: bytes) -> bytes:
    """Its SHA-256."""
    return hashlib.sha256(content).digest()


def read(path: Path) -> bytes:
    """What stands in it."""
    return path.read_bytes()


@dataclass
class Svm:
    """An undoing.Asks. outcome: its answer to everything."""

    outcome: Outcome = Outcome.CLEAN
    asked: list[bytes] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    async def ask(self, sha256: bytes, seconds: float) -> LinkAnswer:
        """Say what the test wants."""
        self.asked.append(sha256)
        async with asyncio.timeout(seconds):
            await self.go.wait()
        return LinkAnswer(self.outcome)


class Bench:
    """A quarantine with two files of one content and one of another."""

    def __init__(self, directory: Path, opened: Quarantine, thread: ThreadPoolExecutor) -> None:
        self.svm, self.said, self.sentences = Svm(), list[Restored](), list[str]()
        self.files = [bad_file(directory / name, ONE) for name in ("a", "b")]
        self.other = bad_file(directory / "c", OTHER)
        for path in (*self.files, self.other):
            take(opened, path)
        self.thread = thread
        self.undoing = Undoing(opened, thread, self.svm, self)

    def restored(self, restored: Restored) -> None:
        """Remember."""
        self.said.append(restored)

    def tidied(self, sentence: str) -> None:
        """Remember."""
        self.sentences.append(sentence)

    async def quiet(self) -> None:
        """Return when all that was begun has ended."""
        await until(lambda: not self.undoing._task)

    def back(self) -> list[bool]:
        """Which files are back."""
        return [path.exists() for path in (*self.files, self.other)]


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """Who works on the quarantine."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
async def bench(tmp_path: Path, thread: ThreadPoolExecutor) -> AsyncIterator[Bench]:
    """It."""
    with quarantine(tmp_path) as opened:
        made = Bench(tmp_path, opened, thread)
        yield made
        await made.undoing.close()


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - OPEN))
async def test_what_was_revoked_comes_back_if_it_is_harmless(bench: Bench, outcome: Outcome) -> None:
    """All that was taken for it, and nothing else; without an answer nothing is given back."""
    bench.svm.outcome = outcome
    bench.undoing.revoked([digest(ONE), bytes(32)])
    await bench.quiet()
    assert bench.svm.asked == [digest(ONE)]
    comes = outcome in HARMLESS
    assert bench.back() == [comes, comes, False]
    assert [restored.problem for restored in bench.said] == [""] * (2 * comes)
    assert bench.undoing.counts["restored"] == 2 * comes


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - OPEN))
async def test_a_new_svm_is_asked_about_all_of_it(bench: Bench, outcome: Outcome) -> None:
    """But what it merely finds nothing in stays: another one did."""
    bench.svm.outcome = outcome
    bench.undoing.linked()
    await bench.quiet()
    assert set(bench.svm.asked) == {digest(ONE), digest(OTHER)}
    assert bench.back() == [outcome is Outcome.CLEAN] * 3


async def test_what_cannot_come_back_is_said_and_the_others_do(bench: Bench) -> None:
    """Somebody else has the name by now."""
    bad_file(bench.files[0], b"mine")
    bench.undoing.revoked([digest(ONE)])
    await bench.quiet()
    assert [read(path) for path in bench.files] == [b"mine", ONE]
    assert sorted(bool(restored.problem) for restored in bench.said) == [False, True]
    assert bench.undoing.counts["restored"] == 1


async def test_of_an_empty_quarantine_nobody_is_asked(bench: Bench, tmp_path: Path) -> None:
    """Nor is its key looked for."""
    with quarantine(tmp_path / "elsewhere") as empty:
        undoing = Undoing(empty, bench.thread, bench.svm, bench)
        undoing.linked()
        await until(lambda: not undoing._task)
    assert bench.svm.asked == []


async def test_the_end_asks_no_more(bench: Bench) -> None:
    """What was asked about stays where it is."""
    bench.svm.go.clear()
    bench.undoing.linked()
    await until(lambda: bool(bench.svm.asked))
    await bench.undoing.close()
    assert bench.back() == [False] * 3


async def test_what_is_revoked_meanwhile_shares_the_next_look(bench: Bench) -> None:
    """However often it is: an SVM that says so all the time has one job done at a time."""
    bench.svm.go.clear()
    bench.undoing.revoked([digest(ONE)])
    await until(lambda: bool(bench.svm.asked))
    tasks = len(asyncio.all_tasks())
    for _ in range(1000):
        bench.undoing.revoked([digest(OTHER)])
    assert len(asyncio.all_tasks()) == tasks
    bench.svm.go.set()
    await bench.quiet()
    assert bench.svm.asked == [digest(ONE), digest(OTHER)]
    assert bench.back() == [True] * 3


@pytest.mark.parametrize("outcome", [Outcome.NOT_DETECTED, Outcome.CLEAN])
async def test_of_more_than_can_be_kept_in_mind_all_is_asked_about(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    """What somebody vouches for comes back, as after a new link."""
    monkeypatch.setattr(undoing, "MOST_REVOKED", 2)
    bench.svm.outcome = outcome
    bench.undoing.revoked([digest(ONE), bytes(32), b"1" * 32])
    await bench.quiet()
    assert set(bench.svm.asked) == {digest(ONE), digest(OTHER)}
    assert bench.back() == [outcome is Outcome.CLEAN] * 3


async def test_after_the_end_nothing_is_begun(bench: Bench) -> None:
    """The line may be open for longer than the quarantine."""
    await bench.undoing.close()
    bench.undoing.revoked([digest(ONE)])
    await bench.quiet()
    assert bench.svm.asked == []


async def test_a_key_that_is_damaged_is_said(bench: Bench, tmp_path: Path) -> None:
    """And ends nothing: the next revocation is looked at again."""
    [key] = (Path(found) for found in glob(f"{tmp_path}/**/key", recursive=True))
    secret = key.read_bytes()
    key.write_bytes(b"garbage")
    bench.undoing.revoked([digest(ONE)])
    await bench.quiet()
    assert len(bench.sentences) == 1
    assert "cannot be restored: the quarantine's file 'key' is no key" in bench.sentences[0]
    key.write_bytes(secret)
    bench.undoing.revoked([digest(ONE)])
    await bench.quiet()
    assert bench.back() == [True, True, False]
