"""The quarantine on real file systems that are full, read-only, layered, or of another mount namespace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.apart import ROOT, environment
from tests.support.quarantine_disks import SCENARIOS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_gives_a_clear_result_and_loses_nothing(tmp_path: Path, scenario: str) -> None:
    """What has to hold in each stands beside it, in tests/support/quarantine_disks.py."""
    apart = ["unshare", "--mount", "--propagation", "private"]
    ended = subprocess.run(
        [*apart, sys.executable, "-m", "tests.support.quarantine_disks", scenario, str(tmp_path)],
        env=environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
