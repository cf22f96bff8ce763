"""`guest-stub run` as the service that it is, by its unit, under a real systemd."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apart import ROOT
from tests.support.booted import Booted, booted, wait_until
from tests.support.contents import EICAR
from tests.support.svm_process import SvmProcess, svm_process

UNIT = "guest-stub.service"
SHIPPED = (ROOT / "guest_stub/systemd" / UNIT).read_text()

# The program is not installed here, the state is this test's, and no file system of this machine is watched.
HERE = """
[Service]
ExecStart=
ExecStart={python} -m guest_stub run --config {config} --svm unix:{directory}/svm/svm.sock
StateDirectory=
WorkingDirectory={root}
Environment=PYTHONPATH={root}:{root}/protos
StandardError=append:{directory}/said
{more}
"""
SETTINGS = """
state_dir = "{directory}/stub"
[on_access]
watch = ["{directory}/top"]
action = "quarantine"
open_seconds = 300
{settings}
"""


class Machine:
    """A machine with the service on it. top: what is watched."""

    def __init__(self, directory: Path, system: Booted, svm: SvmProcess) -> None:
        self.system = system
        self.svm = svm
        self.top = directory / "top"
        self._said = directory / "said"

    def outside(self, name: str) -> Path:
        """A file there as this process can reach it."""
        return Path(f"/proc/{self.system.pid}/root{self.top}/{name}")

    def has_said(self, words: str) -> bool:
        """Whether there is a line with these words."""
        return words in self._said.read_text()

    def says(self, words: str, times: int = 1) -> None:
        """Wait for so many lines with these words."""
        wait_until(
            lambda: self._said.exists() and self._said.read_text().count(words) >= times, f"it says {words}"
        )


@pytest.fixture
def more() -> str:
    """More of the unit."""
    return ""


@pytest.fixture
def settings() -> str:
    """More of the settings."""
    return ""


@pytest.fixture
def machine(tmp_path: Path, more: str, settings: str) -> Iterator[Machine]:
    """It, with an SVM that answers."""
    (tmp_path / "svm").mkdir()
    config = tmp_path / "guest-stub.toml"
    config.write_text(SETTINGS.format(directory=tmp_path, settings=settings.format(directory=tmp_path)))
    here = HERE.format(python=sys.executable, config=config, directory=tmp_path, root=ROOT, more=more)
    units = {UNIT: SHIPPED, f"{UNIT}.d/here.conf": here}
    with svm_process(tmp_path / "svm") as svm, booted(tmp_path, units, tmp_path / "top") as system:
        machine = Machine(tmp_path, system, svm)
        machine.says("the SVM answers")
        yield machine


def test_it_protects_with_no_more_rights_than_its_unit_gives(machine: Machine) -> None:
    """It is ready, denies, and quarantines what is somebody else's, with owner, mode and attributes."""
    shown = machine.system.becomes(UNIT, "active")
    assert (shown["Type"], shown["NoNewPrivileges"], shown["MemoryDenyWriteExecute"]) == (
        "notify",
        "yes",
        "yes",
    )
    bad = machine.outside("bad.com")
    bad.write_bytes(EICAR)
    os.chown(bad, 1234, 4321)
    bad.chmod(0o604)
    os.setxattr(bad, "user.note", b"mine")
    assert (machine.system.run("cat", machine.top / "bad.com")).returncode == 1
    machine.says("quarantined ")
    assert not bad.exists()
    machine.system.run("systemctl", "stop", UNIT)  # or it is taken away again: it is still malicious
    held = machine.system.run(
        sys.executable, "-c", RESTORE, ROOT, machine.top.parent / "guest-stub.toml", machine.top / "back.com"
    )
    assert held.returncode == 0, held.stderr
    back = machine.outside("back.com")
    status = back.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1234, 4321, 0o604)
    assert os.getxattr(back, "user.note") == b"mine"


# By the command, as an administrator has it: outside the service, whose rights it does not have.
RESTORE = """
import json, os, subprocess, sys
root, config, to = sys.argv[1:]
env = os.environ | {"PYTHONPATH": f"{root}:{root}/protos"}
quarantine = (sys.executable, "-m", "guest_stub", "quarantine")
run = lambda *words: subprocess.run(
    [*quarantine, *words, "--config", config], cwd=root, env=env, check=True, stdout=subprocess.PIPE
).stdout
entry, *_ = map(json.loads, run("list", "--json").splitlines())
run("restore", entry["id"], "--to", to)
"""


def test_it_is_back_after_a_kill(machine: Machine) -> None:
    """Whoever waited goes on, and the next who opens a bad file is denied again."""
    shown = machine.system.becomes(UNIT, "active")
    machine.system.kill(shown["MainPID"], signal.SIGKILL)
    machine.says("protecting", times=2)
    after = machine.system.becomes(UNIT, "active")
    assert after["NRestarts"] == "1"
    machine.says("the SVM answers", times=2)
    machine.outside("bad.com").write_bytes(EICAR)
    assert (machine.system.run("cat", machine.top / "bad.com")).returncode == 1


@pytest.mark.parametrize("more", ["WatchdogSec=1s"])
def test_one_that_stands_still_is_killed_by_the_watchdog(machine: Machine) -> None:
    """Until then whoever opens a file waits, and no longer."""
    machine.outside("some.txt").write_text("harmless")
    shown = machine.system.becomes(UNIT, "active")
    machine.system.kill(shown["MainPID"], signal.SIGSTOP)
    opened = machine.system.run("cat", machine.top / "some.txt")
    assert (opened.returncode, opened.stdout) == (0, "harmless")
    machine.says("protecting", times=2)
    assert (machine.system.becomes(UNIT, "active"))["NRestarts"] == "1"


def test_it_stops_when_it_is_told_to(machine: Machine) -> None:
    """In order, with what it did as its last line, and is not started again."""
    machine.system.becomes(UNIT, "active")
    assert (machine.system.run("systemctl", "stop", UNIT)).returncode == 0
    shown = machine.system.becomes(UNIT, "inactive")
    assert (shown["Result"], shown["NRestarts"]) == ("success", "0")
    machine.says("asked 0")


BY_PATHS = """
exclude = ["*/samples"]
exclude_programs = ["/usr/bin/head"]
on_failure_below = {{ "{directory}/top/strict" = "deny" }}
"""


@pytest.mark.parametrize("settings", [BY_PATHS])
def test_settings_that_go_by_paths_hold_for_everybody(machine: Machine) -> None:
    """Its unit leaves the service in the mount namespace that everybody is in."""
    system, top = machine.system, machine.top
    stub = system.becomes(UNIT, "active")["MainPID"]
    ours, theirs = (system.run("readlink", f"/proc/{pid}/ns/mnt").stdout for pid in (stub, 1))
    assert ours == theirs != ""
    for name in ("samples", "strict"):
        machine.outside(name).mkdir()
    for name in ("samples/bad.com", "bad.com"):
        machine.outside(name).write_bytes(EICAR)
    assert system.run("cat", top / "samples/bad.com").returncode == 0
    ran = system.run("head", "-c1", top / "bad.com")
    assert (
        ran.returncode == 0 or "No such file" in ran.stderr
    )  # what was written is taken away by itself, too
    assert system.run("cat", top / "bad.com").returncode == 1
    machine.says("quarantined ")
    assert machine.outside("samples/bad.com").exists()
    machine.svm.signal(signal.SIGKILL)
    machine.says("the SVM is gone")
    for name, code in (("strict/new", 1), ("new", 0)):
        machine.outside(name).write_text("of which nobody can say what it is")
        assert system.run("cat", top / name).returncode == code
    assert not machine.has_said("mount namespace")


@pytest.mark.parametrize(("settings", "more"), [(BY_PATHS, "ProtectKernelModules=yes")])
def test_a_unit_under_which_such_settings_hold_for_nobody_is_said(machine: Machine) -> None:
    """With which settings these are: a line that is added may give the service a namespace of its own."""
    machine.says("mount namespace of its own: exclude, exclude_programs, on_failure_below hold for nobody")


def test_it_is_back_however_often_it_is_killed(machine: Machine) -> None:
    """As soon after the sixth time as after the first: nothing that ends it often ends it for good."""
    for kills in range(1, 7):
        shown = machine.system.becomes(UNIT, "active")
        machine.system.kill(shown["MainPID"], signal.SIGKILL)
        machine.says("protecting", times=kills + 1)
    assert machine.system.becomes(UNIT, "active")["NRestarts"] == "6"
