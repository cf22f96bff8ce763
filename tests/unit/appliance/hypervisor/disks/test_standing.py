"""Disks as they are, compared with how they were."""

import os
from pathlib import Path

import pytest

from appliance.hypervisor.disks.records import Base, DiskKept
from appliance.hypervisor.disks.standing import NotFollowed, compared, standing_of
from tests.support.disk_images import converted, empty, overlay


def why(then: DiskKept, now: DiskKept) -> str:
    """Why a disk is not compared."""
    return compared(Base("c", "r", (then,)), [now])[now.target]


def test_a_disk_that_only_its_machine_wrote_to_is_compared(tmp_path: Path) -> None:
    """By whatever name it is reached."""
    base = converted(empty(tmp_path / "a.raw", 1), tmp_path / "base.qcow2")
    top = overlay(base, tmp_path / "top.qcow2", "qcow2")
    then = standing_of("vda", top, "qcow2")
    assert [layer[0] for layer in then.under] == [str(base)]
    os.utime(top)
    (tmp_path / "link").symlink_to(top)
    assert why(then, standing_of("vda", tmp_path / "link", "qcow2")) == ""


def test_a_chain_that_is_another_is_not_compared(tmp_path: Path) -> None:
    """Something below was written to, replaced, or put in between; or the disk is another or new."""
    base = converted(empty(tmp_path / "a.raw", 1), tmp_path / "base.qcow2")
    top = overlay(base, tmp_path / "top.qcow2", "qcow2")
    then = standing_of("vda", top, "qcow2")
    snapshot = overlay(top, tmp_path / "snapshot.qcow2", "qcow2")
    assert "it is another image than at the last scan" in why(then, standing_of("vda", snapshot, "qcow2"))
    assert "it was not there at the last scan" in why(then, standing_of("vdb", top, "qcow2"))
    below = "what lies under it is not what it was at the last scan"
    os.utime(base, ns=(1, 1))
    assert why(then, standing_of("vda", top, "qcow2")) == below
    (tmp_path / "new").write_bytes(base.read_bytes())
    os.utime(tmp_path / "new", ns=(then.under[0][3], then.under[0][3]))
    (tmp_path / "new").rename(base)
    assert why(then, standing_of("vda", top, "qcow2")) == below
    top.unlink()
    overlay(overlay(base, tmp_path / "between.qcow2", "qcow2"), top, "qcow2")
    assert why(then, standing_of("vda", top, "qcow2")) == below


def test_a_disk_that_nobody_follows_is_a_sentence(tmp_path: Path) -> None:
    """Raw, without a file, damaged, on a device."""
    raw = empty(tmp_path / "a.raw", 1)
    for path, image_format, said in (
        (raw, "raw", "its format is raw: only qcow2"),
        (raw, "", "its format is not said"),
        (None, "qcow2", "not read from a file of this host"),
        (raw, "qcow2", "it is no qcow2"),
        (tmp_path / "none", "qcow2", "cannot be opened"),
    ):
        with pytest.raises(NotFollowed, match=said):
            standing_of("vda", path, image_format)
