"""Every unit that is shipped, as `systemd-analyze verify` reads it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.svm_process import ROOT

SHIPPED = sorted(unit for room in ("appliance", "guest_stub") for unit in (ROOT / room).rglob("*.service"))
SYSTEM = Path("/usr/lib/systemd/system")
PROGRAMS = ("svm", "svm-host", "guest-stub", "kvmla-first-boot")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of a system with our programs and systemd's own units, and none of ours."""
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in PROGRAMS:
        (tmp_path / "usr/bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "usr/bin" / name).chmod(0o755)
    shutil.copytree(SYSTEM, tmp_path / SYSTEM.relative_to("/"), symlinks=True)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nsvm:x:999:999::/:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nsvm:x:999:\n")
    return tmp_path


def said_of(root: Path, name: str, text: str) -> str:
    """What is wrong with a unit, "" for nothing."""
    unit = root / "etc/systemd/system" / name
    unit.write_text(text)
    words = ["systemd-analyze", "verify", f"--root={root}", "--man=no", "--recursive-errors=no", str(unit)]
    ran = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode == 0) == (ran.stderr == ""), ran.stderr
    return ran.stderr


@pytest.mark.parametrize("unit", SHIPPED, ids=lambda unit: unit.name)
def test_systemd_understands_all_of_a_unit(unit: Path, root: Path) -> None:
    """Every directive and value, and the program that it starts is one of ours."""
    assert said_of(root, unit.name, unit.read_text()) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("ProtectHome=yes", "ProtectHomes=yes", "Unknown key"),
        ("ProtectSystem=strict", "ProtectSystem=very", "Failed to parse"),
        ("/usr/bin/svm serve", "/usr/bin/svmd serve", "is not executable"),
    ],
)
def test_what_systemd_would_pass_over_is_said(root: Path, right: str, wrong: str, said: str) -> None:
    """It goes on without what it does not understand, and the service would be confined by less."""
    (text,) = [unit.read_text() for unit in SHIPPED if unit.name == "svm.service"]
    assert text.count(right) == 1
    assert said in said_of(root, "svm.service", text.replace(right, wrong))
