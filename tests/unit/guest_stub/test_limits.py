"""Tests of how many files may be open."""

import subprocess
import sys

import pytest

from tests.support.apart import ROOT, environment

_PROGRAM = """
import resource, sys
from guest_stub.limits import raise_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(raise_open_files(1000), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "told"),
    [(100, 500, "500 500 500"), (100, 2000, "1000 1000 2000"), (1500, 2000, "1500 1500 2000")],
)
def test_it_is_raised_as_far_as_is_allowed_and_useful(soft: int, hard: int, told: str) -> None:
    """And never lowered, nor the bound of it."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(soft), str(hard)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == told
