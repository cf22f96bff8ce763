"""Tests of what is left out of the stub's process."""

import subprocess
import sys

from tests.support.apart import ROOT, environment


def loaded(program: str) -> str:
    """What a Python of its own prints."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_the_stubs_process_carries_no_ssl() -> None:
    """Neither the module nor the library behind it; all the rest of the program is there."""
    program = "import sys, guest_stub.__main__; print(sys.modules['ssl'], '_ssl' in sys.modules)"
    assert loaded(program) == "None False"


def test_a_larger_program_keeps_it() -> None:
    """What already has asyncio may need ssl for something else."""
    assert loaded("import asyncio, guest_stub.__main__, ssl; print(ssl.__name__)") == "ssl"
