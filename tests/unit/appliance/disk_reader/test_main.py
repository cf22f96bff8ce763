"""The program as a process."""

import os
import subprocess
import sys


def test_it_ends_when_nobody_asks_any_more() -> None:
    """Without a word, and with nothing that it may write."""
    ended = subprocess.run(
        [sys.executable, "-m", "appliance.disk_reader"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
