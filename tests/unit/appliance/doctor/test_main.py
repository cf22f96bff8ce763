"""Tries a worker as whoever runs this."""

import os
import subprocess
import sys
from pathlib import Path

from appliance.doctor.workers import probed_from
from tests.support.commands import DEADLINE, ROOT
from tests.support.svm_process import write_config


def test_it_prints_what_came_of_it(tmp_path: Path) -> None:
    """By the settings that the environment names."""
    config = write_config(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-m", "appliance.doctor", "whole"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}", "KVMLA_CONFIG": str(config)},
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    probed = probed_from(ran.stdout)
    assert [each.good for each in probed.findings] == [True, True, True]
    assert [engine.name for engine in probed.engines] == ["eicar"]
