"""Tests of kinds of file systems."""

import os
from pathlib import Path

import pytest

from guest_stub.mounts import FileSystem, file_system_of


def kind_of(path: str) -> FileSystem:
    """The file system of a directory of this machine."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        return file_system_of(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("path", ["/proc", "/proc/self", "/sys"])
def test_files_that_the_kernel_makes_up_are_pseudo(path: str) -> None:
    """proc and sysfs are told from file systems with content."""
    found = kind_of(path)
    assert found.pseudo
    assert not found.reliable


def test_a_disk_is_not_pseudo(tmp_path: Path) -> None:
    """A directory that files can be written to has content."""
    assert not kind_of(str(tmp_path)).pseudo


def test_the_mount_number_decides(tmp_path: Path) -> None:
    """The type stands after the optional fields of the mount's own line."""
    (tmp_path / "fdinfo").mkdir()
    (tmp_path / "fdinfo" / "7").write_text("pos:\t0\nflags:\t010000000\nmnt_id:\t28\n")
    (tmp_path / "mountinfo").write_bytes(
        b"27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        b"28 27 0:25 / /a\\040b\xff rw shared:2 master:1 - btrfs /dev/vdb rw\n"
    )
    assert file_system_of(7, tmp_path) == FileSystem("btrfs")
    assert file_system_of(7, tmp_path).reliable


def test_what_cannot_be_found_out_is_not_relied_on(tmp_path: Path) -> None:
    """Without /proc nothing is pseudo, and nothing is kept."""
    unknown = file_system_of(7, tmp_path / "nothing")
    assert (unknown.pseudo, unknown.reliable) == (False, False)


@pytest.mark.parametrize("kind", ["vfat", "fuse.sshfs", "nfs4", "cifs", "9p", "virtiofs", ""])
def test_foreign_clocks_are_not_relied_on(kind: str) -> None:
    """File systems whose change times are set elsewhere, or not at all, get no decisions kept."""
    assert not FileSystem(kind).reliable
