"""Tests of files with several names."""

import pytest

from guest_stub import links
from guest_stub.found import FoundFile
from guest_stub.links import Links, Name


def name_of(number: int, name: str, names: int = 3) -> FoundFile:
    """A name of the file of a number."""
    return FoundFile(number.to_bytes(12, "big"), bytes(25), "/d", name, 10, names)


A, B, C = (name_of(1, name) for name in "abc")


def test_the_others_wait_until_the_first_is_done() -> None:
    """Those that come meanwhile are given back then, those that come later need not wait."""
    met = Links()
    assert met.meet(A, wait=False) is Name.FIRST
    assert met.meet(B, wait=True) is Name.WAITING
    assert met.done(A) == [B]
    assert met.meet(C, wait=True) is Name.DONE


def test_a_name_that_does_not_wait_is_met_again() -> None:
    """It is not among those that wait until then."""
    met = Links()
    met.meet(A, wait=False)
    assert met.meet(B, wait=False) is Name.WAITING
    assert met.meet(B, wait=True) is Name.WAITING
    assert met.done(A) == [B]


def test_files_are_told_apart() -> None:
    """Another file's names have nothing to do with it."""
    met = Links()
    other = name_of(2, "a")
    assert [met.meet(name, wait=True) for name in (A, other)] == [Name.FIRST, Name.FIRST]
    assert met.meet(B, wait=True) is Name.WAITING
    assert met.done(other) == []
    assert met.done(A) == [B]


def test_when_a_name_is_missed_another_takes_its_place() -> None:
    """One after another, as long as there are any; the rest goes on waiting."""
    met = Links()
    for name in (A, B, C):
        met.meet(name, wait=True)
    second = met.missed(A)
    assert second in (B, C)
    assert met.done(second) == [C if second == B else B]


def test_when_all_names_were_missed_the_next_is_the_first() -> None:
    """A name that comes later is looked at."""
    met = Links()
    met.meet(A, wait=True)
    met.meet(B, wait=True)
    assert met.missed(A) == B
    assert met.missed(B) is None
    assert met.meet(C, wait=True) is Name.FIRST


def test_a_file_is_forgotten_when_all_its_names_were_met() -> None:
    """So that it takes no memory; with a name that was made meanwhile it begins anew."""
    for order in ("done first", "done last"):
        met = Links()
        met.meet(A, wait=True)
        if order == "done first":
            assert met.done(A) == []
            assert [met.meet(name, wait=True) for name in (B, C)] == [Name.DONE, Name.DONE]
        else:
            met.meet(B, wait=True)
            met.meet(C, wait=True)
            assert met.done(A) == [B, C]
        assert met.meet(name_of(1, "new", names=4), wait=True) is Name.FIRST


def test_the_files_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the bound each name is looked at, and nothing waits for it."""
    monkeypatch.setattr(links, "MAX_FILES", 1)
    met = Links()
    met.meet(A, wait=True)
    others = [name_of(2, name) for name in "ab"]
    assert [met.meet(name, wait=True) for name in others] == [Name.FIRST, Name.FIRST]
    assert met.done(others[0]) == []
    assert met.missed(others[1]) is None
    assert met.meet(B, wait=True) is Name.WAITING
