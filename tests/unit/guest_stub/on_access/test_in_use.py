"""Tests of finding the processes that have a file open."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from guest_stub.decision import FileId
from guest_stub.on_access import in_use
from guest_stub.on_access.in_use import processes_with
from guest_stub.records import Seen, identify

MAPS = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
mapping = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
os.close(fd)
print(flush=True)
sys.stdin.read()
"""


def seen(path: Path) -> Seen:
    """A file as it is."""
    return Seen(*identify(FileId.of(path.stat())), bytes(32))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends processes."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file, of which another one differs."""
    (tmp_path / "other").write_text("hello")
    (tmp_path / "file").write_text("hello")
    return tmp_path / "file"


def started(stack: ExitStack, *command: str | Path, file: Path | None = None) -> int:
    """The number of a process that does something and waits. file: its error output."""
    with (file or Path("/dev/null")).open("a") as errors:
        process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    stack.enter_context(process)
    stack.callback(process.kill)
    return process.pid


def test_who_has_a_file_open_is_found(stack: ExitStack, file: Path) -> None:
    """And this process is not, nor who has another."""
    with file.open():
        assert processes_with([seen(file)]) == []
        reader = started(stack, "cat", file=file)
        started(stack, "cat", file=file.with_name("other"))
        assert processes_with([seen(file)]) == [(reader, str(file))]


def test_who_has_it_mapped_is_found(stack: ExitStack, file: Path) -> None:
    """Though it is not open any more."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAPS, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    stack.enter_context(process)
    assert process.stdout is not None
    process.stdout.readline()
    assert processes_with([seen(file)]) == [(process.pid, str(file))]


def test_who_runs_it_is_found(stack: ExitStack, tmp_path: Path) -> None:
    """A program."""
    program = tmp_path / "program"
    shutil.copy("/bin/cat", program)
    runs = started(stack, program)
    assert processes_with([seen(program)]) == [(runs, str(program))]


def test_a_file_that_was_changed_is_another(stack: ExitStack, file: Path) -> None:
    """Whatever has its inode number."""
    before = seen(file)
    started(stack, "cat", file=file)
    file.write_text("something else")
    assert processes_with([before]) == []


def test_so_many_are_told_and_no_more(stack: ExitStack, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand processes may have it open."""
    monkeypatch.setattr(in_use, "MOST_TOLD", 2)
    for _ in range(3):
        started(stack, "cat", file=file)
    assert len(processes_with([seen(file)])) == 2


def test_what_is_no_process_or_goes_is_passed_over(tmp_path: Path, file: Path) -> None:
    """Nothing is raised."""
    for name in ("1", "self", str(os.getpid())):
        (tmp_path / "proc" / name).mkdir(parents=True)
    assert processes_with([seen(file)], tmp_path / "proc") == []
