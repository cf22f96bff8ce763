"""Tests of what is let through unasked."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guest_stub.on_access.exclusions import Exclusions
from tests.support.on_access_apart import watching


@contextmanager
def reading(path: Path) -> Iterator[int]:
    """A descriptor of a file that is made if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        ("*.iso", "a.iso", True),
        ("*.iso", "b/a.iso", True),
        ("*.iso", "a.isox", False),
        ("cache", "cache/deep/down/a", True),
        ("cache/", "cache/a", True),
        ("cache", "cached/a", False),
        ("{top}/b", "b/c/a", True),
        ("{top}/b/*", "b/c/a", True),
        ("{top}/b", "c/b/a", False),
    ],
)
def test_globs_leave_files_out(tmp_path: Path, glob: str, name: str, matches: bool) -> None:
    """A file's name, its path, or a directory above it, as in a scan."""
    exclusions = Exclusions([glob.format(top=tmp_path)], [])
    with reading(tmp_path / name) as fd:
        assert exclusions.match(fd, 1) is matches


def test_a_file_without_a_name_matches_no_glob(tmp_path: Path) -> None:
    """What was deleted, and what never had a name, is everybody's business."""
    with reading(tmp_path / "a") as fd:
        (tmp_path / "a").unlink()
        assert not Exclusions(["*"], []).match(fd, 1)
    pipe = os.pipe()
    assert not Exclusions(["*.iso"], []).match(pipe[0], 1)
    for end in pipe:
        os.close(end)


def test_nothing_is_left_out_unless_it_is_said(tmp_path: Path) -> None:
    """Without globs and programs."""
    with reading(tmp_path / "a") as fd:
        assert not Exclusions([], []).match(fd, os.getpid())


def test_a_program_is_left_out_by_its_path(tmp_path: Path) -> None:
    """Whatever it opens; and a process that is gone is no such program."""
    proc = tmp_path / "proc"
    for name in ("backup", "backup2", "home/backup"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for pid, program, namespace in (
        ("self", "backup2", 1), (10, "backup", 1), (11, "backup2", 1), (12, "home/backup", 1),
        (14, "backup", 2),
    ):  # fmt: skip
        (proc / str(pid) / "ns").mkdir(parents=True)
        (proc / str(pid) / "exe").symlink_to(tmp_path / program)
        (proc / str(pid) / "ns" / "mnt").symlink_to(f"mnt:[{namespace}]")
    exclusions = Exclusions([], [str(tmp_path / "backup")], proc)
    with reading(tmp_path / "a") as fd:
        found = [exclusions.match(fd, pid) for pid in (10, 11, 12, 13, 14)]
    assert found == [True, False, False, False, False]


def test_a_real_process_is_known_by_its_program(tmp_path: Path) -> None:
    """This one is."""
    with reading(tmp_path / "a") as fd:
        assert Exclusions([], [os.path.realpath(sys.executable)]).match(fd, os.getpid())
        assert not Exclusions([], ["/usr/bin/backup"]).match(fd, os.getpid())


def covered(top: Path, *program: str) -> "subprocess.Popen[bytes]":
    """A process that sees another file system at `top`, with a program and a file on it."""
    mounted = 'mount -t tmpfs none "$1" && cp "$2" "$1/backup" && echo > "$1/a" && shift 2 && exec "$@"'
    return subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, "sh", str(top),
         str(shutil.which("cat")), *program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def echoed(process: "subprocess.Popen[bytes]") -> None:
    """Return when the process is the program that was asked for."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x")
    process.stdin.flush()
    assert process.stdout.read(1) == b"x"


@watching
def test_a_program_of_the_same_path_elsewhere_is_another(tmp_path: Path) -> None:
    """Who mounts something at the path of an excluded program, where only he sees it, is not that program."""
    top = tmp_path / "top"
    top.mkdir()
    shutil.copy(str(shutil.which("true")), top / "backup")
    with covered(top, str(top / "backup")) as process, reading(tmp_path / "a") as fd:
        echoed(process)
        assert not Exclusions([], [str(top / "backup")]).match(fd, process.pid)


@watching
def test_a_file_at_the_same_path_elsewhere_is_another(tmp_path: Path) -> None:
    """Who mounts his directory over an excluded one, where only he sees it, is not let through."""
    top = tmp_path / "cache"
    top.mkdir()
    with covered(top, "sh", "-c", 'exec cat 3< "$1/a"', "sh", str(top)) as process:
        echoed(process)
        with reading(Path(f"/proc/{process.pid}/fd/3")) as fd:
            assert not Exclusions([f"{top}/*"], []).match(fd, process.pid)


def test_a_mount_that_is_gone_excludes_nothing(tmp_path: Path) -> None:
    """Its number may be that of a mount somewhere else by now."""
    exclusions = Exclusions(["*"], [])
    with reading(tmp_path / "a") as fd:
        assert exclusions.match(fd, 1)
        exclusions.mounts_are([])
        assert not exclusions.match(fd, 1)


def test_a_program_may_be_named_by_a_link(tmp_path: Path) -> None:
    """As /bin/cp is where /bin is one: the kernel tells where it really is."""
    (tmp_path / "link").symlink_to(sys.executable)
    (tmp_path / "file").write_text("")
    with reading(tmp_path / "file") as fd:
        assert Exclusions((), (str(tmp_path / "link"),)).match(fd, os.getpid())
