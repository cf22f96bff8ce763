"""Owners and modes of what lies in the state directory."""

import os
from pathlib import Path

import pytest

from appliance.doctor.files import file_findings, lying
from appliance.doctor.findings import Finding


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A state directory as it should be."""
    tmp_path.chmod(0o700)
    (tmp_path / "identity").mkdir(mode=0o700)
    for name in ("state.lmdb", "state.lock", "identity/ca.key"):
        (tmp_path / name).touch(mode=0o600)
    return tmp_path


def look(directory: Path) -> list[Finding]:
    """All findings."""
    return list(file_findings(directory, lying(directory)))


def test_a_directory_as_it_should_be_is_well(directory: Path) -> None:
    """Also where others may list it, as systemd makes it: files are what counts."""
    directory.chmod(0o755)
    (finding,) = look(directory)
    assert finding.good
    assert finding.said == f"4 in {directory}, for its owner (user {os.geteuid()}) alone"


@pytest.mark.parametrize("name", ["state.lmdb", "identity/ca.key", "identity"])
def test_a_file_that_others_may_use_is_named(directory: Path, name: str) -> None:
    """With the command that mends it."""
    (directory / name).chmod(0o740)
    (finding,) = look(directory)
    assert (finding.what, finding.good) == ("modes", False)
    assert f"others may use {name}: `chmod -R go= {directory}`" in finding.said


def test_a_directory_in_which_others_may_write_is_amiss(directory: Path) -> None:
    """They could put files of their own there."""
    directory.chmod(0o770)
    assert look(directory)[0].said.startswith(f"others may write in {directory} (0770)")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_file_of_somebody_else_is_named(directory: Path) -> None:
    """As after a command that root ran where the SVM has a user of its own."""
    os.chown(directory / "state.lock", 65534, 65534)
    (finding,) = look(directory)
    assert (finding.what, finding.good) == ("owners", False)
    assert "state.lock: `chown -R 0:0" in finding.said


def test_a_link_is_no_file_of_an_svm(directory: Path) -> None:
    """It is named, and not followed."""
    (directory / "cache.lmdb").symlink_to("/etc/passwd")
    assert [(each.what, each.good) for each in look(directory)] == [("links", False), ("files", True)]


def test_what_was_left_behind_is_told(directory: Path) -> None:
    """Files that were damaged, and the state before a restore."""
    (directory / "cache.lmdb.damaged-7").touch(mode=0o600)
    (directory / "before-restore-20260101T000000Z-1").mkdir(mode=0o700)
    left = [each for each in look(directory) if each.what == "left behind"]
    assert [each.good for each in left] == [None, None]
    assert "cache.lmdb.damaged-7" in left[0].said
    assert "before-restore-20260101T000000Z-1" in left[1].said
