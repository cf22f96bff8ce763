"""The programs of the appliance as processes."""

import subprocess
import sys

import pytest

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
