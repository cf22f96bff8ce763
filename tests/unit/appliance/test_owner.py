"""Root works in a directory as whom it belongs to."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.owner import as_owner
from tests.support.owners import SOMEBODY, as_it_is, only_root, owners, somebodys_place


def who() -> tuple[int, int, list[int]]:
    """The user, the group and the other groups that this process works as."""
    return os.geteuid(), os.getegid(), os.getgroups()


@only_root
def test_what_is_made_is_the_owners_and_root_is_root_again() -> None:
    """Also where the work fails."""
    before = who()
    with somebodys_place() as place:
        with suppress(ZeroDivisionError), as_owner(place):
            (place / "file").write_text("x")
            assert who() == (SOMEBODY, SOMEBODY, [SOMEBODY])
            assert os.getuid() == 0  # so that he can neither trace nor signal it
            _ = 1 / 0
        assert owners(place) == {(SOMEBODY, SOMEBODY)}
    assert who() == before


@only_root
def test_a_link_leads_to_nothing_that_the_owner_may_not_have(tmp_path: Path) -> None:
    """Neither its content nor its mode is touched."""
    (tmp_path / "victim").write_text("root's")
    before = as_it_is(tmp_path / "victim")
    with somebodys_place() as place:
        (place / "link").symlink_to(tmp_path / "victim")
        with as_owner(place):
            for work in (lambda: (place / "link").write_text("x"), lambda: (place / "link").chmod(0o777)):
                with pytest.raises(PermissionError):
                    work()
    assert as_it_is(tmp_path / "victim") == before


@only_root
def test_what_is_not_there_yet_is_made_for_whom_the_place_belongs_to() -> None:
    """He could have it made before root has."""
    with somebodys_place() as place:
        with as_owner(place / "a" / "b"):
            (place / "a" / "b").mkdir(parents=True)
        assert owners(place) == {(SOMEBODY, SOMEBODY)}


def test_in_a_directory_of_ones_own_nothing_changes(tmp_path: Path) -> None:
    """For root and for others."""
    before = who()
    with as_owner(tmp_path):
        assert who() == before
