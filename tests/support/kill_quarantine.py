"""Does something with a quarantine and is killed at the n-th line of its code, for every n; run by
test_quarantine_kill.

    python -m tests.support.kill_quarantine STORY DIRECTORY

For each n it prints one JSON object: what is on the disk after the kill, and what after the next start.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import guest_stub.remediation
from guest_stub.remediation.quarantine import Quarantine
from tests.support.quarantined import BAD, bad_file, contents, judged, open_for_reading, settings, take

_ROOM = str(Path(guest_stub.remediation.__file__).parent)
MODE = 0o4711


def kill_at(line: int, action: Callable[[], None]) -> None:
    """Run the action; kill this process before the so many-th line of the room's code."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(_ROOM):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    action()
    sys.settrace(None)


def prepare(story: str, directory: Path) -> None:
    """What is there before: the file, under a second name in some stories, in the quarantine in others."""
    path = bad_file(directory / "file")
    path.chmod(MODE)
    if story.endswith("linked"):
        os.link(path, directory / "other")
    if story.startswith("restore"):
        opened = Quarantine(settings(directory))
        take(opened, path)
        opened.close()


def act(story: str, directory: Path) -> None:
    """What is interrupted."""
    opened = Quarantine(settings(directory))
    if story.startswith("restore"):
        opened.restore(next(opened.entries()).id)
        return
    with open_for_reading(directory / "file") as fd:
        (opened.take if story.startswith("take") else opened.delete)(fd, judged(directory / "file"))


def state(directory: Path, opened: Quarantine) -> dict[str, Any]:
    """What a person would find."""
    path, other = directory / "file", directory / "other"
    return {
        "file": path.read_bytes() == BAD if path.exists() else None,
        "mode": path.stat().st_mode & 0o7777 if path.exists() else None,
        "other": {BAD: "whole", b"": "empty"}.get(other.read_bytes(), "odd") if other.exists() else None,
        "same": path.exists() and other.exists() and path.samefile(other),
        "sealed": [content == BAD for content in contents(opened)],
        "left": sorted(set(os.listdir(directory)) - {"file", "other", "quarantine"}),
        "kept": sorted(
            name.partition(".")[2] for name in os.listdir(directory / "quarantine") if "." in name
        ),
    }


def after(directory: Path) -> dict[str, Any]:
    """The state, then the same after the next start, then after a restore."""
    opened = Quarantine(settings(directory))
    killed = state(directory, opened)
    said = opened.tidy()
    tidied = state(directory, opened)
    if tidied["file"] is None:
        for entry in list(opened.entries())[:1]:
            opened.restore(entry.id)
    restored = state(directory, opened)
    opened.close()
    return {"killed": killed, "said": said, "tidied": tidied, "restored": restored}


def main(story: str, directory: Path) -> None:
    """Until a child ends by itself."""
    line, ended = 0, False
    while not ended:
        line += 1
        here = directory / str(line)
        here.mkdir()
        prepare(story, here)
        child = os.fork()
        if child == 0:
            kill_at(line, lambda: act(story, here))  # noqa: B023 - called before the next round
            os._exit(0)
        ended = not os.WIFSIGNALED(os.waitpid(child, 0)[1])
        print(json.dumps({"line": line, "ended": ended, **after(here)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
