"""Tests of what a file is beside its content, with real access lists, capabilities and labels."""

import os
import struct
from pathlib import Path

import pytest

from guest_stub.remediation import attributes as module
from guest_stub.remediation.attributes import IMMUTABLE, attributes_of, flags_of, give, set_flags
from guest_stub.remediation.facts import Attributes
from tests.support.quarantined import bad_file, open_for_reading

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away and labels them")

# acl(5): user::rw-, user:1234:r--, group::r--, mask::r--, other::---
NOBODY = 2**32 - 1
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, who)
    for tag, rights, who in [(1, 6, NOBODY), (2, 4, 1234), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY)]
)  # fmt: skip
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep
XATTRS = {
    "user.note": b"\x00\xff",
    "security.capability": CAPABILITY,
    "security.selinux": b"system_u:object_r:bin_t:s0\0",
    "system.posix_acl_access": ACL,
    "trusted.note": b"x" * 1000,
}


def read(path: Path) -> Attributes:
    """Of a file."""
    with open_for_reading(path) as fd:
        return attributes_of(fd)


def given(path: Path, attributes: Attributes) -> list[str]:
    """Give them to a file; what was refused."""
    fd = os.open(path, os.O_RDWR)
    try:
        return give(fd, attributes)
    finally:
        os.close(fd)


@as_root
def test_all_of_it_is_given_to_another_file(tmp_path: Path) -> None:
    """Owner, set-user-ID, times to the nanosecond, access list, capability, SELinux label."""
    old, new = bad_file(tmp_path / "old"), bad_file(tmp_path / "new")
    os.chown(old, 4711, 4712)
    old.chmod(0o4640)
    for name, value in XATTRS.items():
        os.setxattr(old, name, value)
    os.utime(old, ns=(1_234_567_890_123_456_789, -987_654_321))
    attributes = read(old)
    assert dict(attributes.xattrs) == {name.encode(): value for name, value in XATTRS.items()}
    assert (attributes.uid, attributes.gid, attributes.mode) == (4711, 4712, 0o4640)
    assert given(new, attributes) == []
    assert read(new) == attributes


@as_root
def test_rights_that_a_directory_would_hand_down_are_not_kept(tmp_path: Path) -> None:
    """A file that had no access list has none when it comes back into a directory with a default one."""
    attributes = read(bad_file(tmp_path / "old"))
    os.setxattr(tmp_path, "system.posix_acl_default", ACL)
    new = bad_file(tmp_path / "new")
    assert os.listxattr(new) == ["system.posix_acl_access"]
    assert given(new, attributes) == []
    assert read(new) == attributes


def test_what_is_refused_is_said_and_the_rest_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that no file system takes; and set-user-ID is not given to a file that stays another owner's."""
    path = bad_file(tmp_path / "file")
    wanted = Attributes(0, 0, 0o4755, 10**18, 10**18, xattrs=((b"nowhere.x", b"1"),), left_out=(b"user.y",))

    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.fchown", refuse)
    assert given(path, wanted) == [
        "the owner 0:0 could not be given back: Operation not permitted",
        "nowhere.x could not be given back: Operation not supported",
        "user.y was not kept",
    ]
    assert (read(path).mode, read(path).mtime_ns) == (0o755, 10**18)


@as_root
def test_extended_attributes_have_a_bound_and_rights_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What anybody can add does not crowd out what decides on rights; what is left out is named."""
    path = bad_file(tmp_path / "file")
    os.setxattr(path, "user.aaaa", b"x" * 100)
    os.setxattr(path, "security.selinux", b"label")
    monkeypatch.setattr(module, "MAX_XATTR_BYTES", 60)
    attributes = read(path)
    assert attributes.xattrs == ((b"security.selinux", b"label"),)
    assert attributes.left_out == (b"user.aaaa",)
    assert given(path, attributes) == ["user.aaaa was not kept"]


@as_root
def test_inode_flags_are_read_and_set(tmp_path: Path) -> None:
    """Where the file system has them; where it has none they read as none."""
    path = bad_file(tmp_path / "file")
    with open_for_reading(path) as fd:
        try:
            set_flags(fd, IMMUTABLE)
        except OSError:
            pytest.skip("this file system has no inode flags")
        assert read(path).flags == IMMUTABLE
        with pytest.raises(PermissionError):
            path.write_bytes(b"")
        set_flags(fd, 0)
    path.write_bytes(b"")
    with open_for_reading(Path("/dev/null")) as fd:
        assert flags_of(fd) == 0
