"""The programs of the appliance as processes."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from appliance.cli.console import Console
from appliance.cli.process import run_process

PROGRAMS = {"svm": "appliance", "svm-host": "appliance.hypervisor"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_says_its_own_name(name: str) -> None:
    """In its version, and in what it complains of."""
    module = [sys.executable, "-m", PROGRAMS[name]]
    version = subprocess.run([*module, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert version.stdout.startswith(f"{name} ")
    wrong = subprocess.run([*module, "nonsense"], capture_output=True, text=True, check=False, timeout=60)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(f"{name}: ")


def test_output_that_is_full_is_told() -> None:
    """The process ends with a sentence, not with a traceback."""
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "appliance.hypervisor", "vms", "--connect", "test:///default"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert ran.returncode == 2
    assert ran.stderr == "svm-host: the output: No space left on device; free room where that is written\n"


def test_a_fault_of_a_program_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 2, and not with the 1 of Python's own, which says that something was found."""

    def faulty(_arguments: Sequence[str], _console: Console) -> int:
        raise ValueError("Value out of range")

    assert run_process("svm-host", faulty) == 2
    said = capsys.readouterr().err
    assert "ValueError: Value out of range" in said
    assert said.splitlines()[-1].startswith("svm-host: it could not do its work")
