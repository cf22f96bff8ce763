"""Programs that are run for an image."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.hypervisor.image.running import ImageError, run

DEADLINE = 30.0
# As mmdebstrap does: it mounts, and has programs of its own run meanwhile.
_MOUNTS = """
mount -t tmpfs tmpfs "$0" && touch "$0/inside"
sh -c "sleep 600; :" "$0" &
touch "$0.up"
wait
"""
_BUILD = """
import sys
from appliance.hypervisor.cli.interruption import ended_like_by_ctrl_c
from appliance.hypervisor.image.running import run
try:
    with ended_like_by_ctrl_c():
        run(["sh", "-c", sys.argv[2], sys.argv[1]], apart=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_what_a_program_prints_is_returned() -> None:
    """With the variables that it is given."""
    assert run(["sh", "-c", "echo $WORD"], {"WORD": "here"}) == "here\n"


def test_a_program_that_fails_is_a_sentence() -> None:
    """It has the exit code and what the program complained about."""
    with pytest.raises(ImageError, match=r"sh failed \(3\): no such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_a_program_that_is_not_installed_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package may be called otherwise."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ImageError, match="qemu-img is not installed: `apt-get install qemu-utils`"):
        run(["qemu-img", "--version"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_what_runs_apart_ends_with_who_had_it_run_and_leaves_no_mount(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """However that one ends, none of its processes goes on, and this machine never sees a mount of it."""
    place = tmp_path / "mounted"
    place.mkdir()
    with subprocess.Popen([sys.executable, "-c", _BUILD, str(place), _MOUNTS]) as process:
        until((tmp_path / "mounted.up").exists)
        seen = str(place) in Path("/proc/self/mountinfo").read_text() or (place / "inside").exists()
        os.kill(process.pid, number)
        assert process.wait(DEADLINE) == code
    assert not seen
    if number == signal.SIGTERM:  # it has waited for them
        assert not running(str(place))
    until(lambda: not running(str(place)))
    place.rmdir()


def test_what_is_not_installed_is_told_alike_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not said of the programs that part it."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ImageError, match="mmdebstrap is not installed: `apt-get install mmdebstrap`"):
        run(["mmdebstrap"], apart=True)


def running(word: str) -> list[str]:
    """Processes that have a word in their arguments."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if word in line:
            found.append(line)
    return found


def until(happened: Callable[[], bool]) -> None:
    """Return when it has."""
    end = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
