"""Tests of the table [on_access]."""

import math
from typing import Any

import pytest

from guest_stub.on_access.coverage import Mount
from guest_stub.on_access.policy import AccessPolicy, FailMode, Mode, Operation
from guest_stub.on_access.settings import AccessSettings, BadSetting, read_table
from guest_stub.remediation.done import Action


def test_an_empty_table_is_the_defaults() -> None:
    """And those are the policy's."""
    assert read_table({}) == AccessSettings()
    assert AccessSettings().policy == AccessPolicy()


def test_every_setting_is_read() -> None:
    """What stands in the table is what comes out, and comes to the policy."""
    settings = read_table({
        "mode": "block-exec",
        "open_seconds": 1,
        "exec_seconds": 2.5,
        "open_on_failure": "deny",
        "exec_on_failure": "allow",
        "on_failure_below": {"/a/..//srv/": "deny", "//": "allow"},
        "block_suspicious": True,
        "stale_grace_seconds": 0,
        "watch": ["/srv"],
        "exclude": ["*.iso"],
        "exclude_file_systems": ["vfat"],
        "exclude_programs": ["/usr/bin/backup"],
        "action": "quarantine",
        "restore_on_clean": False,
    })  # fmt: skip
    assert settings == AccessSettings(
        Mode.BLOCK_EXEC, 1.0, 2.5, FailMode.DENY, FailMode.ALLOW,
        {"/srv": FailMode.DENY, "/": FailMode.ALLOW}, True, 0.0,
        ("/srv",), ("*.iso",), ("vfat",), ("/usr/bin/backup",), Action.QUARANTINE, False,
    )  # fmt: skip
    assert settings.policy == AccessPolicy(
        Mode.BLOCK_EXEC,
        {Operation.OPEN: 1.0, Operation.EXEC: 2.5},
        {Operation.OPEN: FailMode.DENY, Operation.EXEC: FailMode.ALLOW},
        {"/srv": FailMode.DENY, "/": FailMode.ALLOW},
        True,
        0.0,
        Action.QUARANTINE,
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("mod", "notify", "is not a setting of \\[on_access\\]; there are: mode, open_seconds"),
        ("mode", "block", "is one of block-open, block-exec, notify, not 'block'"),
        ("mode", ["notify"], "is one of"),
        ("mode", 1, "is one of"),
        ("open_on_failure", "perhaps", "is one of allow, deny, not 'perhaps'"),
        ("exec_on_failure", True, "is one of allow, deny"),
        ("open_seconds", 0, "is a number from 0.05 to 300, not 0"),
        ("exec_seconds", 301, "is a number from 0.05 to 300"),
        ("open_seconds", True, "is a number"),
        ("open_seconds", "1", "is a number"),
        ("open_seconds", math.nan, "is a number"),
        ("stale_grace_seconds", math.inf, "is a number from 0 to 86400"),
        ("stale_grace_seconds", -1, "is a number"),
        ("block_suspicious", 1, "is true or false, not 1"),
        ("restore_on_clean", "yes", "is true or false, not 'yes'"),
        ("action", "kill", "is one of block, quarantine, delete, report, not 'kill'"),
        ("on_failure_below", {"srv": "deny"}, "with absolute paths"),
        ("on_failure_below", ["/srv"], "is a table such as"),
        ("on_failure_below", {"/srv": "no"}, "is one of allow, deny, not 'no'"),
        ("exclude", "*.iso", "is a list of texts"),
        ("exclude", [""], "is a list of texts"),
        ("watch", [1], "is a list of texts"),
        ("exclude_programs", {"/a": 1}, "is a list of texts"),
    ],
)
def test_a_mistake_is_named(name: str, value: Any, sentence: str) -> None:
    """Which setting, and what it may be."""
    with pytest.raises(BadSetting, match=sentence) as problem:
        read_table({"block_suspicious": False, name: value})
    assert problem.value.name == name


@pytest.mark.parametrize(
    ("kind", "watched"),
    [
        ("ext4", True), ("xfs", True), ("tmpfs", True), ("vfat", True), ("overlay", True),
        ("nfs4", False), ("fuse.sshfs", False), ("proc", False), ("devtmpfs", False),
    ],
)  # fmt: skip
def test_local_file_systems_are_watched(kind: str, watched: bool) -> None:
    """Unless settings say otherwise."""
    assert AccessSettings().watches(Mount("8:1", "/a", kind)) is watched


def test_kinds_of_file_systems_can_be_left_out() -> None:
    """Those alone."""
    settings = AccessSettings(exclude_file_systems=("vfat",))
    assert not settings.watches(Mount("8:1", "/a", "vfat"))
    assert settings.watches(Mount("8:1", "/a", "ext4"))


def test_who_names_mount_points_gets_those_alone() -> None:
    """Of whatever kind."""
    settings = AccessSettings(watch=("/srv", "/net"), exclude_file_systems=("ext4",))
    assert settings.watches(Mount("8:1", "/srv", "ext4"))
    assert settings.watches(Mount("8:1", "/net", "nfs4"))
    assert not settings.watches(Mount("8:1", "/", "xfs"))


@pytest.mark.parametrize("typed", ["/srv/", "//srv", "/srv/."])
def test_a_mount_point_may_be_written_otherwise(typed: str) -> None:
    """A slash at its end, which a shell's completion puts there, must not leave the machine unprotected."""
    assert read_table({"watch": [typed]}).watches(Mount("8:1", "/srv", "ext4"))


@pytest.mark.parametrize("name", ["watch", "exclude_programs"])
def test_a_path_that_is_not_absolute_is_refused(name: str) -> None:
    """It could never match."""
    with pytest.raises(BadSetting, match="absolute"):
        read_table({name: ["srv"]})
