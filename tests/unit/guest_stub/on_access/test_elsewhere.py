"""Tests of what was reached by foreign mounts while places are excluded."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guest_stub.journal import Entry
from guest_stub.on_access.elsewhere import CROWDED, MOST, WALK_SECONDS, WHY, Elsewhere
from guest_stub.on_access.judging import Judged
from guest_stub.records import identify
from tests.support.on_access_parts import BAD, DIGEST, identity


@dataclass
class Bench:
    """What stands around it. kept: whether the journal has room."""

    taken: list[Entry] = field(default_factory=list)
    noted: list[Entry] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    now: float = 0.0
    kept: bool = True

    def __post_init__(self) -> None:
        self.elsewhere = Elsewhere(
            self, self, lambda path, why: self.left.append((path, why)), lambda: self.now
        )

    def take(self, entry: Entry, name: int) -> bool:
        """See Noting."""
        self.taken.append(entry)
        return self.kept

    def note(self, entry: Entry, name: int) -> bool:
        """See Notes."""
        self.noted.append(entry)
        return self.kept

    def detected(self, path: Path) -> None:
        """It was."""
        path.touch()
        fd = os.open(path, os.O_RDONLY)
        self.elsewhere.detected(fd, Judged(BAD, DIGEST, identity(path)))
        os.close(fd)


@pytest.fixture
def bench() -> Bench:
    """It."""
    return Bench()


def test_a_file_is_looked_for_by_its_inode_alone(bench: Bench, tmp_path: Path) -> None:
    """The path leads elsewhere where the stub stands; it is for people."""
    bench.detected(tmp_path / "a")
    assert [(entry.path, entry.key) for entry in bench.taken] == [("", identify(identity(tmp_path / "a"))[0])]
    assert bench.left == [(str(tmp_path / "a"), WHY)]
    assert bench.elsewhere.counts == {"elsewhere": 1}


def test_it_is_not_looked_for_again_and_again(bench: Bench, tmp_path: Path) -> None:
    """However often it is opened, and whatever its times do."""
    for _ in range(3):
        bench.detected(tmp_path / "a")
        (tmp_path / "a").chmod(0o600)
        bench.now += WALK_SECONDS
    assert (len(bench.taken), len(bench.noted), len(bench.left)) == (1, 0, 1)


def test_walks_are_begun_once_a_minute(bench: Bench, tmp_path: Path) -> None:
    """What comes meanwhile is in the journal, so that nothing is lost, and goes with the next walk."""
    for name in ("a", "b", "c"):
        bench.detected(tmp_path / name)
    assert (len(bench.taken), len(bench.noted)) == (1, 2)
    bench.now += WALK_SECONDS
    bench.detected(tmp_path / "d")
    assert (len(bench.taken), len(bench.noted)) == (2, 2)


def test_nobody_fills_the_journal_with_them(bench: Bench, tmp_path: Path) -> None:
    """So many in a minute; of the rest it is said that they are left, and they are taken later."""
    for number in range(MOST + 1):
        bench.detected(tmp_path / str(number))
    assert len(bench.taken) + len(bench.noted) == MOST
    assert bench.left[-1] == (str(tmp_path / str(MOST)), CROWDED)
    bench.now += WALK_SECONDS
    bench.detected(tmp_path / str(MOST))
    assert bench.left[-1][1] == WHY


def test_a_full_journal_is_said(bench: Bench, tmp_path: Path) -> None:
    """And the file is tried again when it is opened again."""
    bench.kept = False
    bench.detected(tmp_path / "a")
    bench.kept = True
    bench.detected(tmp_path / "a")
    assert [why for _, why in bench.left] == ["the journal has no room for it", WHY]
