"""Tests of what is known to be bad while nobody can be asked."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from guest_stub import detected as module
from guest_stub.detected import ENTRY_BYTES, FILE, MOST, Detected
from guest_stub.outcome import Outcome
from guest_stub.svm_link.values import LinkAnswer
from tests.support.held_files import digest_of

BAD = LinkAnswer(Outcome.MALICIOUS, 7, 3600.0, "Eicar", "eicar", "a.com")
WARE = LinkAnswer(Outcome.SUSPICIOUS, 7, 3600.0, "Adware")


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Detected]:
    """Nothing, yet."""
    with closing(Detected(tmp_path)) as made:
        yield made


def of_next_run(directory: Path, *numbers: int) -> list[LinkAnswer | None]:
    """What the next run knows."""
    with closing(Detected(directory)) as made:
        assert made.problem == ""
        return [made.recall(digest_of(number)) for number in numbers]


def test_a_detection_is_known_in_this_run_and_the_next(known: Detected, tmp_path: Path) -> None:
    """What it was, and by which name; as an answer that is for no generation and no time."""
    known.heard(digest_of(1), BAD)
    known.heard(digest_of(2), WARE)
    expected = [
        LinkAnswer(Outcome.MALICIOUS, threat="Eicar"),
        LinkAnswer(Outcome.SUSPICIOUS, threat="Adware"),
        None,
    ]
    assert [known.recall(digest_of(number)) for number in (1, 2, 3)] == expected
    assert of_next_run(tmp_path, 1, 2, 3) == expected


@pytest.mark.parametrize("outcome", [Outcome.CLEAN, Outcome.NOT_DETECTED])
def test_another_verdict_ends_it(known: Detected, tmp_path: Path, outcome: Outcome) -> None:
    """An SVM says otherwise."""
    known.heard(digest_of(1), BAD)
    known.heard(digest_of(1), LinkAnswer(outcome))
    assert known.recall(digest_of(1)) is None
    assert of_next_run(tmp_path, 1) == [None]


@pytest.mark.parametrize("outcome", [Outcome.NO_SVM, Outcome.TIMED_OUT, Outcome.TOO_LARGE])
def test_what_is_no_verdict_ends_nothing(known: Detected, outcome: Outcome) -> None:
    """Nobody has said otherwise."""
    known.heard(digest_of(1), BAD)
    known.heard(digest_of(1), LinkAnswer(outcome))
    assert known.recall(digest_of(1)) is not None


def test_a_revocation_ends_it(known: Detected, tmp_path: Path) -> None:
    """For what was known, and for nothing else."""
    for number in (1, 2):
        known.heard(digest_of(number), BAD)
    known.forget([digest_of(1), digest_of(3)])
    assert (known.recall(digest_of(1)), known.recall(digest_of(2)) is None) == (None, False)
    assert [each is None for each in of_next_run(tmp_path, 1, 2)] == [True, False]


def test_what_is_heard_again_is_written_once(known: Detected, tmp_path: Path) -> None:
    """However often it is opened; what it is called otherwise now is written."""
    for _ in range(10):
        known.heard(digest_of(1), BAD)
    assert (tmp_path / FILE).stat().st_size == ENTRY_BYTES
    known.heard(digest_of(1), WARE)
    assert of_next_run(tmp_path, 1) == [LinkAnswer(Outcome.SUSPICIOUS, threat="Adware")]


def test_the_newest_are_kept(known: Detected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and what is in memory are bounded; one that is met again is new."""
    monkeypatch.setattr(module, "MOST", 4)
    monkeypatch.setattr(module, "_MOST_BYTES", 8 * ENTRY_BYTES)
    for number in range(4):
        known.heard(digest_of(number), BAD)
    known.heard(digest_of(0), BAD)
    for number in range(4, 7):
        known.heard(digest_of(number), BAD)
        assert (tmp_path / FILE).stat().st_size <= 8 * ENTRY_BYTES
    assert [number for number in range(7) if known.recall(digest_of(number))] == [0, 4, 5, 6]
    for number in range(20, 40):
        known.heard(digest_of(number), BAD)
        assert (tmp_path / FILE).stat().st_size <= 8 * ENTRY_BYTES
    assert all(of_next_run(tmp_path, 36, 37, 38, 39))
    assert sorted(os.listdir(tmp_path)) == [FILE]


def test_a_threat_of_any_length_is_kept_as_far_as_there_is_room(known: Detected, tmp_path: Path) -> None:
    """Also where its end falls within a character."""
    known.heard(digest_of(1), BAD._replace(threat="ä" * 500))
    [answer] = of_next_run(tmp_path, 1)
    assert answer is not None
    assert answer.threat.startswith("ä" * 40)


@pytest.mark.parametrize("harm", ["cut", "more", "flipped", "long"])
def test_a_damaged_file_costs_what_is_damaged(known: Detected, tmp_path: Path, harm: str) -> None:
    """An entry that a killed stub left unfinished, one that a disk spoilt, and what is no entry."""
    for number in (1, 2):
        known.heard(digest_of(number), BAD)
    data = (tmp_path / FILE).read_bytes()
    harmed = {
        "cut": data[:-5],
        "more": data + b"\0" * 50,
        "flipped": data[:ENTRY_BYTES] + b"\xff" + data[ENTRY_BYTES + 1 :],
        "long": data + bytes(4 * MOST * ENTRY_BYTES),
    }[harm]
    (tmp_path / FILE).write_bytes(harmed)
    one, two = of_next_run(tmp_path, 1, 2)
    assert one is not None
    assert (two is None) is (harm in ("cut", "flipped"))
    with closing(Detected(tmp_path)) as again:
        again.heard(digest_of(3), BAD)
    assert all(of_next_run(tmp_path, 1, 3))


def test_without_a_disk_it_counts_in_this_run(tmp_path: Path) -> None:
    """And that is said."""
    (tmp_path / FILE).mkdir()
    with closing(Detected(tmp_path)) as known:
        assert "forgotten when the stub ends" in known.problem
        known.heard(digest_of(1), BAD)
        assert known.recall(digest_of(1)) is not None
