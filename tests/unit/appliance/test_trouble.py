"""What the log is told of what cannot be written."""

import json
import os
import subprocess
import sys
from pathlib import Path

from structlog.testing import capture_logs

from appliance.trouble import Trouble

FULL_DISK = """
import logging, resource, signal, sys, structlog
from pathlib import Path
from appliance.trouble import Trouble
from appliance.config import LogSettings
from appliance.console.logs import adopt_library_lines, configure
from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.store import VerdictStore
configure(LogSettings(), sys.stdout, lambda: 0.0)
adopt_library_lines(structlog.get_logger("svm"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = VerdictStore.open(Path(sys.argv[1]), 68 << 20, lambda: 3600.0)
trouble = Trouble(lambda: store.problem, "cache problem", "cache is written again")
trouble.tell()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for number in range(20_000):
    store.put(16, number.to_bytes(32, "big"), Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, 3600))
for _ in range(3):
    store.flush()
    trouble.tell()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for _ in range(3):
    store.flush()
    trouble.tell()
store.close()
"""


def test_trouble_with_the_cache_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    """However long a disk is full there is one line, and one when it is over."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL_DISK, os.fspath(tmp_path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["cache problem", "cache is written again"]
    assert "free room" in lines[0]["why"]


def test_another_problem_is_told_anew() -> None:
    """The same one is not, however often it is looked at."""
    problems = iter(("", "free room", "free room", "mend the disk", "", ""))
    trouble = Trouble(lambda: next(problems), "events problem", "events are written again")
    with capture_logs() as lines:
        for _ in range(6):
            trouble.tell()
    assert [(line["event"], line.get("why")) for line in lines] == [
        ("events problem", "free room"),
        ("events problem", "mend the disk"),
        ("events are written again", None),
    ]
