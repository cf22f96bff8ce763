"""Somebody swaps names, directories and links while files are taken away: whatever becomes of the files that
were judged, no other file is ever removed or emptied.
"""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from guest_stub.remediation.done import Result
from tests.support.apart import environment
from tests.support.quarantined import BAD, bad_file, contents, judged, open_for_reading, quarantine

ROUNDS = 600
DIGEST = hashlib.sha256(BAD).digest()
GOOD = b"somebody needs this file\n"

# At random: another file comes under the name and goes; the directory becomes a link to another one and back;
# the file gets another name for a moment; whatever lies in a private directory is grasped for.
SWAPS = """
import contextlib, glob, os, random, sys, time
from guest_stub.remediation.directories import rename_no_replace
os.chdir(sys.argv[1])
here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
def move(old, new):
    with contextlib.suppress(OSError):
        rename_no_replace((here, old.encode()), (here, new.encode()))
def try_to(action, *words):
    with contextlib.suppress(OSError):
        action(*words)
def file():
    move("d/file", "d/away"); move("good", "d/file"); time.sleep(random.random() / 2000)
    move("d/file", "good"); move("d/away", "d/file")
def directory():
    move("d", "e"); try_to(os.symlink, "precious", "d"); time.sleep(random.random() / 2000)
    try_to(os.unlink, "d"); move("e", "d")
def link():
    try_to(os.link, "d/file", "d/linked"); try_to(os.unlink, "d/linked")
def room():
    for room in glob.glob("d/.kvm-light-agent-*"):
        move(room, room + "-away"); try_to(os.symlink, "../precious", room)
        try_to(os.unlink, room); move(room + "-away", room)
print("ready", flush=True)
while True:
    random.choice([file, directory, directory, link, room, room, room])()
    time.sleep(random.random() / 1000)
"""


@pytest.fixture
def swapping(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A directory in which names change all the time, and who does it."""
    for name in ("d", "precious"):
        (tmp_path / name).mkdir()
    bad_file(tmp_path / "good", GOOD)
    bad_file(tmp_path / "precious" / "file", GOOD)
    command = [sys.executable, "-c", SWAPS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as swapper:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"ready\n"
        yield tmp_path, swapper
        swapper.kill()


def good_files(top: Path) -> list[Path]:
    """Wherever they are by now."""
    found = [Path(where) / name for where, _, names in os.walk(top) for name in names]
    return [path for path in found if path.is_file() and path.read_bytes() == GOOD]


def offer(top: Path) -> None:
    """A bad file under the name, if it is free at this moment."""
    path = bad_file(top / "new")
    with suppress(OSError):
        os.link(path, top / "d" / "file")
    path.unlink()


def test_no_other_file_is_ever_touched(swapping: tuple[Path, subprocess.Popen[bytes]]) -> None:
    """Files are taken, or left since they moved away; the others are all there, whole."""
    top, swapper = swapping
    results: Counter[Result] = Counter()
    with quarantine(top) as opened:
        for _ in range(ROUNDS):
            offer(top)
            with suppress(FileNotFoundError), open_for_reading(top / "d" / "file") as fd:
                facts = judged(Path(f"/proc/self/fd/{fd}"))
                if facts.sha256 == DIGEST:
                    results[opened.take(fd, facts).result] += 1
        assert contents(opened) == [BAD] * results[Result.QUARANTINED]
    assert results[Result.QUARANTINED], results  # how many, is a matter of who runs when
    assert set(results) <= {Result.QUARANTINED, Result.CHANGED}
    swapper.kill()
    swapper.wait()
    assert len(good_files(top)) == 2
