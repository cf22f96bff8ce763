"""Tests of which file systems are watched."""

import os
import select
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guest_stub.on_access.coverage import (
    MOUNTINFO,
    Coverage,
    Mount,
    MountChanges,
    is_on_top,
    parse_mounts,
)
from tests.support.on_access_apart import SECONDS, run_apart, watching
from tests.support.properties import patient

LINE = b"36 35 8:1 / / rw,noatime shared:1 - ext4 /dev/root rw,errors=continue\n"
ESCAPED = {b" ": b"\\040", b"\t": b"\\011", b"\n": b"\\012", b"\\": b"\\134"}  # as seq_path() does

names = st.binary(max_size=20).filter(lambda name: b"\0" not in name)
devices = st.builds(lambda major, minor: f"{major}:{minor}", st.integers(0, 4095), st.integers(0, 2**20 - 1))
kinds = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.", min_size=1, max_size=12)
mounts = st.builds(Mount, devices, names.map(lambda name: os.fsdecode(b"/" + name)), kinds)


def escaped(text: str) -> bytes:
    """A field as the kernel writes it."""
    return b"".join(ESCAPED.get(bytes([byte]), bytes([byte])) for byte in os.fsencode(text))


def line(mount: Mount, number: int = 36, optional: bytes = b"shared:1 master:2 ") -> bytes:
    """A line of mountinfo."""
    return b"%d 35 %s / %s rw,noatime %s- %s /dev/x rw\n" % (
        number, mount.device.encode(), escaped(mount.point), optional, mount.kind.encode(),
    )  # fmt: skip


def table(*mounts: Mount) -> bytes:
    """All of it."""
    return b"".join(line(mount, number) for number, mount in enumerate(mounts, 36))


@patient
@given(st.lists(mounts, max_size=5), st.sampled_from([b"", b"shared:1 ", b"shared:1 master:2 "]))
@example([Mount("8:1", "/media/a\rb", "ext4")], b"")
def test_mounts_come_back_as_they_were(said: list[Mount], optional: bytes) -> None:
    """Wherever they are mounted, be it no UTF-8, and however many optional fields there are."""
    data = b"".join(line(mount, optional=optional) for mount in said)
    assert parse_mounts(data) == said


@patient
@given(st.lists(mounts.filter(lambda mount: "\r" not in mount.point), max_size=5))
def test_names_without_a_carriage_return_come_back(said: list[Mount]) -> None:
    """Blanks, line ends, backslashes, and what looks like an escape but is a name."""
    assert parse_mounts(table(*said)) == said


@patient
@given(st.binary(max_size=300))
@example(b" - ")
@example(b"- - - - - - - -")
@example(b"\\04")
def test_no_table_makes_it_fail(data: bytes) -> None:
    """Lines of no sense are passed over, and the next one is read."""
    found = parse_mounts(data + b"\n" + LINE)
    assert found[-1] == Mount("8:1", "/", "ext4")


def test_this_machines_table_is_read() -> None:
    """It has a root and a /proc."""
    found = {mount.point: mount.kind for mount in parse_mounts(MOUNTINFO.read_bytes())}
    assert found["/proc"] == "proc"
    assert "/" in found


@pytest.mark.parametrize(
    ("kind", "local"),
    [
        ("ext4", True), ("tmpfs", True), ("overlay", True), ("vfat", True), ("fuseblk", True),
        ("proc", False), ("sysfs", False), ("nfs", False), ("cifs", False), ("fuse", False),
        ("fuse.sshfs", False), ("virtiofs", False), ("devtmpfs", False), ("cgroup2", False),
    ],
)  # fmt: skip
def test_what_comes_from_elsewhere_is_not_local(kind: str, local: bool) -> None:
    """Nor what the kernel makes up."""
    assert Mount("0:1", "/a", kind).local is local


class Watch:
    """Takes note of what is to be watched. refused: mount points where that fails."""

    def __init__(self, *refused: str) -> None:
        self.points: list[str] = []
        self.refused = set(refused)

    def __call__(self, point: str) -> None:
        """Watch."""
        if point in self.refused:
            raise OSError(22, "Invalid argument")
        self.points.append(point)


ROOT, HOME, PROC = Mount("8:1", "/", "ext4"), Mount("8:2", "/home", "xfs"), Mount("0:5", "/proc", "proc")


def test_each_file_system_is_watched_once() -> None:
    """Under whatever mounts it is seen; what is not wanted is not."""
    watch = Watch()
    coverage = Coverage(watch, lambda mount: mount.local)
    new = coverage.look(table(ROOT, HOME, Mount("8:2", "/srv/home", "xfs"), PROC))
    assert {mount.device for mount in new} == {"8:1", "8:2"}
    assert len(watch.points) == 2
    assert coverage.watched.keys() == {"8:1", "8:2"}
    assert coverage.look(table(ROOT, HOME, PROC)) == []


def test_what_is_mounted_later_is_watched_then() -> None:
    """And again when it comes back after it was gone."""
    watch = Watch()
    coverage = Coverage(watch, lambda mount: mount.local)
    coverage.look(table(ROOT))
    assert coverage.look(table(ROOT, HOME)) == [HOME]
    coverage.look(table(ROOT))
    assert coverage.watched.keys() == {"8:1"}
    watch.points.clear()
    assert coverage.look(table(ROOT, HOME)) == [HOME]
    assert "/home" in watch.points


def test_a_mount_that_another_is_mounted_over_is_watched_elsewhere() -> None:
    """Its mount point leads to the other one; where there is no other way, that is said."""
    watch, covered = Watch(), {"/srv/home"}
    coverage = Coverage(watch, lambda mount: mount.local, lambda mount: mount.point not in covered)
    coverage.look(table(HOME, Mount("8:2", "/srv/home", "xfs")))
    assert watch.points == ["/home"]
    covered.add("/home")
    coverage.look(table(HOME, Mount("8:2", "/srv/home", "xfs")))
    assert coverage.failed == {"/srv/home": "another file system is mounted over it"}
    assert (watch.points, coverage.watched) == (["/home"], {})


@watching
def test_which_mount_is_on_top_is_told(tmp_path: Path) -> None:
    """Of two at one place it is the later one."""
    run_apart(mounting_over, tmp_path / "top")


def mounting_over(top: Path) -> None:
    """Mount something over a file system that has a second place."""
    for name in ("a", "b"):
        (top / name).mkdir()
    for words in (["-t", "tmpfs", "one", "a"], ["--bind", "a", "b"], ["-t", "tmpfs", "two", "a"]):
        subprocess.run(["mount", *words], cwd=top, check=True)
    found = [mount for mount in parse_mounts(MOUNTINFO.read_bytes()) if mount.point.startswith(f"{top}/")]
    assert [(mount.point, is_on_top(mount)) for mount in found] == [
        (f"{top}/a", False), (f"{top}/b", True), (f"{top}/a", True)
    ]  # fmt: skip
    assert not is_on_top(Mount("0:1", f"{top}/none", "tmpfs", "1"))


def test_what_cannot_be_watched_is_said_and_tried_again() -> None:
    """The others are watched all the same."""
    watch = Watch("/home")
    coverage = Coverage(watch, lambda mount: mount.local)
    assert coverage.look(table(HOME, ROOT)) == [ROOT]
    assert coverage.failed == {"/home": "Invalid argument"}
    assert "8:2" not in coverage.watched
    watch.refused.clear()
    assert coverage.look(table(HOME, ROOT)) == [HOME]
    assert coverage.failed == {}


def test_what_failed_and_is_gone_is_not_said_any_more() -> None:
    """Nothing is amiss with a file system that is not mounted."""
    coverage = Coverage(Watch("/home"), lambda mount: mount.local)
    coverage.look(table(HOME, ROOT))
    coverage.look(table(ROOT))
    assert coverage.failed == {}


@pytest.mark.parametrize("point", ["/a", "/b"])
def test_another_file_system_with_the_same_number_is_watched(point: str) -> None:
    """Nothing may tell them apart in the table: one tmpfs in the place of another looks the same."""
    watch = Watch()
    coverage = Coverage(watch, lambda mount: mount.local)
    coverage.look(table(Mount("0:45", "/a", "tmpfs")))
    watch.points.clear()
    coverage.look(table(Mount("0:45", point, "tmpfs")))
    assert watch.points == [point]


@watching
def test_changes_of_the_table_are_noticed(tmp_path: Path) -> None:
    """Each of them once, and the table is that of then."""
    run_apart(mounting, tmp_path / "top")


def mounting(top: Path) -> None:
    """Mount something, and unmount it."""
    (top / "a b").mkdir()
    with closing(MountChanges()) as changes:
        first = parse_mounts(changes.read())
        assert not noticed(changes, 0)
        subprocess.run(["mount", "-t", "tmpfs", "none", str(top / "a b")], check=True)
        assert noticed(changes)
        [new] = set(parse_mounts(changes.read())) - set(first)
        assert (new.point, new.kind) == (str(top / "a b"), "tmpfs")
        assert (
            new.device == f"{os.major((top / 'a b').stat().st_dev)}:{os.minor((top / 'a b').stat().st_dev)}"
        )
        assert not noticed(changes, 0)
        subprocess.run(["umount", str(top / "a b")], check=True)
        assert noticed(changes)
        assert set(parse_mounts(changes.read())) == set(first)
        subprocess.run(["mount", "-t", "tmpfs", "none", str(top / "a b")], check=True)
        assert [changes.changed(), changes.changed()] == [True, False]
        subprocess.run(["umount", str(top / "a b")], check=True)


def noticed(changes: MountChanges, seconds: float = SECONDS) -> bool:
    """Whether the descriptor is readable."""
    return bool(select.select([changes.fileno()], [], [], seconds)[0])
