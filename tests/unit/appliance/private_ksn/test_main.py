"""The program `private-ksn` as a process."""

import subprocess
import sys

from tests.support.commands import ROOT


def test_the_process_ends_with_the_exit_code_of_the_command() -> None:
    """What was asked for is on stdout; what a person did wrong is one line on stderr."""
    command, environ = (
        [sys.executable, "-m", "appliance.private_ksn"],
        {"PYTHONPATH": f"{ROOT}:{ROOT}/protos"},
    )
    good = subprocess.run([*command, "--version"], env=environ, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("private-ksn ")
    bad = subprocess.run([*command, "odd"], env=environ, capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
