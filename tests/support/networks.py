"""Networks of a test's own: what is done to the packet filter there this machine's own never sees."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE = 300.0


def in_network_apart(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a module of the tests as a program, where there is but a loopback, which is up."""
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    apart = ("unshare", "--net", *as_root, "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    return subprocess.run(
        [*apart, sys.executable, "-m", module, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
    )
