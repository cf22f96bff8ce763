"""What a quarantine does on disks that are full, read-only, layered or not ours; run by test_quarantine_disks
in a mount namespace of its own, as root:

    unshare --mount --propagation private python -m tests.support.quarantine_disks SCENARIO DIRECTORY
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guest_stub.remediation.done import Done, Result
from guest_stub.remediation.quarantine import Quarantine
from guest_stub.remediation.restoring import NotRestored
from tests.support.quarantined import BAD, bad_file, contents, judged, open_for_reading, settings, take


def mount(*words: str | Path) -> None:
    """As the program of that name."""
    subprocess.run(["mount", *map(str, words)], check=True)


def tmpfs(directory: Path, options: str) -> Path:
    """A small file system."""
    directory.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", options, "none", directory)
    return directory


def is_left(done: Done, path: Path, reason: str) -> None:
    """The file is where it was, and the reason is said."""
    assert (done.result, done.entry) == (Result.FAILED, ""), done
    assert reason in done.reason, done
    assert path.read_bytes() == BAD


def full_quarantine(top: Path) -> None:
    """The disk of the quarantine fills up while a file is sealed: it is left, and its part is gone."""
    tmpfs(top / "quarantine", "size=256k,mode=0700")
    opened = Quarantine(settings(top))
    large = bad_file(top / "large", os.urandom(1 << 20))
    done = take(opened, large)
    assert (done.result, done.reason) == (Result.FAILED, "No space left on device"), done
    assert large.stat().st_size == 1 << 20
    assert sorted(os.listdir(top / "quarantine")) == ["key", "lock"]
    assert take(opened, bad_file(top / "small")).result is Result.QUARANTINED
    (top / "quarantine" / "stuffing").write_bytes(bytes((256 - 12) << 10))
    another = bad_file(top / "another")
    is_left(take(opened, another), another, "No space left on device")
    assert contents(opened) == [BAD]


def full_disk_of_the_file(top: Path) -> None:
    """There is no room for the private directory: the file is emptied, and comes back into its place."""
    path = bad_file(tmpfs(top / "disk", "size=1m,nr_inodes=2") / "file")
    opened = Quarantine(settings(top))
    done = take(opened, path)
    assert (done.result, done.emptied, path.read_bytes()) == (Result.QUARANTINED, True, b""), done
    assert done.reason == "its name is left, on an empty file: No space left on device"
    opened.restore(done.entry)
    assert path.read_bytes() == BAD


def read_only(top: Path) -> None:
    """A file on a read-only file system is left, and nothing is kept of it."""
    path = bad_file(tmpfs(top / "disk", "size=1m") / "file")
    mount("-o", "remount,ro", top / "disk")
    opened = Quarantine(settings(top))
    is_left(take(opened, path), path, "Read-only file system")
    with open_for_reading(path) as fd:
        is_left(opened.delete(fd, judged(path)), path, "Read-only file system")
    assert list(opened.entries()) == []
    mount("-o", "remount,rw", top / "disk")
    assert take(opened, path).result is Result.QUARANTINED


def read_only_quarantine(top: Path) -> None:
    """A file is left when nothing can be written into the quarantine; what is in it can be looked at."""
    tmpfs(top / "quarantine", "size=1m,mode=0700")
    opened = Quarantine(settings(top))
    take(opened, bad_file(top / "first"))
    mount("-o", "remount,ro", top / "quarantine")
    path = bad_file(top / "file")
    is_left(take(opened, path), path, "Read-only file system")
    assert contents(opened) == [BAD]


def overlay(top: Path) -> None:
    """A file of the lower layer vanishes from the whole and stays below, on one file system or on two."""
    for name, upper in (("one", "below"), ("two", "above")):
        tmpfs(top / name / "below", "size=1m")
        tmpfs(top / name / "above", "size=1m")
        lower = top / name / "below" / "lower"
        lower.mkdir()
        for part in ("upper", "work"):
            (top / name / upper / part).mkdir()
        bad_file(lower / "file")
        whole = top / name / "whole"
        whole.mkdir()
        options = f"lowerdir={lower},upperdir={top / name / upper}/upper,workdir={top / name / upper}/work"
        mount("-t", "overlay", "-o", options, "none", whole)
        opened = Quarantine(settings(top / name))
        done = take(opened, whole / "file")
        assert done.result is Result.QUARANTINED, done
        assert (os.listdir(whole), (lower / "file").read_bytes()) == ([], BAD), name
        opened.restore(done.entry)
        assert (whole / "file").read_bytes() == BAD


def mount_point(top: Path) -> None:
    """A file that something is mounted from: its name goes. One that is mounted on a name: it is emptied."""
    bad_file(top / "file")
    bad_file(top / "target", b"good")
    mount("--bind", top / "file", top / "target")
    opened = Quarantine(settings(top))
    done = take(opened, top / "target")
    assert (done.result, done.emptied) == (Result.QUARANTINED, True), done
    assert "Device or resource busy" in done.reason
    assert ((top / "file").read_bytes(), (top / "target").read_bytes()) == (b"", b"")
    opened.restore(done.entry)
    assert ((top / "file").read_bytes(), (top / "target").read_bytes()) == (BAD, BAD)


def other_namespace(top: Path) -> None:
    """The kernel tells the path of a container's file, where we have another file: that is never touched."""
    inside = top / "inside"
    inside.mkdir()
    ours = bad_file(inside / "file", b"good")
    script = 'mount -t tmpfs none "$0" && printf %s "$1" >"$0/file" && echo ready && exec sleep 60'
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
        str(inside),
        BAD.decode(),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == b"ready\n"
        try:
            _take_from_container(top, Path(f"/proc/{container.pid}/root{inside}/file"))
        finally:
            container.kill()
    assert ours.read_bytes() == b"good"


def _take_from_container(top: Path, path: Path) -> None:
    opened = Quarantine(settings(top))
    with open_for_reading(path) as fd:
        assert os.readlink(f"/proc/self/fd/{fd}") == str(top / "inside" / "file")
        done = opened.take(fd, judged(path))
        assert (done.result, done.emptied, os.fstat(fd).st_size) == (Result.QUARANTINED, True, 0), done
    with pytest.raises(NotRestored, match="cannot be reached from here"):
        opened.restore(done.entry)
    opened.restore(done.entry, os.fsencode(top / "here"))
    assert (top / "here").read_bytes() == BAD


def immutable_directory(top: Path) -> None:
    """No name can be moved out of it: the file is emptied, and comes back into its place."""
    path = bad_file(tmpfs(top / "disk", "size=1m") / "file")
    if subprocess.run(["chattr", "+i", top / "disk"], check=False, capture_output=True).returncode:
        return  # this kernel's tmpfs has no flags
    opened = Quarantine(settings(top))
    done = take(opened, path)
    assert (done.result, done.emptied) == (Result.QUARANTINED, True), done
    assert "Operation not permitted" in done.reason
    opened.restore(done.entry)
    assert path.read_bytes() == BAD


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        full_quarantine, full_disk_of_the_file, read_only, read_only_quarantine, overlay, mount_point,
        other_namespace, immutable_directory,
    )
}  # fmt: skip

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
