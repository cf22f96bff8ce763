"""Tests of what is said of a stub that has a mount namespace of its own."""

from pathlib import Path

import pytest

from guest_stub.on_access.apart import apart_from_others
from guest_stub.on_access.policy import FailMode
from guest_stub.on_access.settings import AccessSettings

SETTINGS = AccessSettings(exclude=("*.iso",), on_failure_below={"/srv": FailMode.DENY})


def proc_with(directory: Path, ours: int, theirs: int) -> Path:
    """A /proc with this process and the first one, in mount namespaces of these numbers."""
    for process, namespace in (("self", ours), ("1", theirs)):
        (directory / process / "ns").mkdir(parents=True)
        (directory / process / "ns/mnt").symlink_to(f"mnt:[{namespace}]")
    return directory


def test_a_namespace_of_its_own_is_said_with_the_settings_that_do_not_hold(tmp_path: Path) -> None:
    """Those that are set, and what to do."""
    said = apart_from_others(SETTINGS, proc_with(tmp_path, 1, 2))
    assert "exclude, on_failure_below hold for nobody outside" in said
    assert "start it without: no ProtectSystem" in said
    programs = AccessSettings(exclude_programs=("/bin/cp",))
    assert ": exclude_programs hold" in apart_from_others(programs, tmp_path)


@pytest.mark.parametrize(("settings", "theirs"), [(AccessSettings(), 2), (SETTINGS, 1)])
def test_nothing_is_said_where_all_holds(tmp_path: Path, settings: AccessSettings, theirs: int) -> None:
    """Where no such setting is set, or everybody sees files as the stub does."""
    assert apart_from_others(settings, proc_with(tmp_path, 1, theirs)) == ""


def test_nothing_is_said_where_it_cannot_be_told(tmp_path: Path) -> None:
    """As where somebody hides the first process."""
    assert apart_from_others(SETTINGS, tmp_path) == ""
