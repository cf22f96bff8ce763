"""Programs in a mount namespace of their own, or without root's rights, by bubblewrap."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]

_WALK = """
import json, sys
from tests.support.stub_scans import walked
from guest_stub.walk import Selection
files, told = walked(Selection((sys.argv[1],), one_file_system=sys.argv[2] == "x"))
names = sorted(file.name for file in files)
print(json.dumps([names, {path: why.name for path, why in told.directories.items()}]))
"""


def python_apart(options: Sequence[str], *words: str) -> list[str]:
    """The command that runs this Python with the project on its path. options: bubblewrap's."""
    return ["bwrap", "--dev-bind", "/", "/", *options, "--chdir", str(ROOT), sys.executable, *words]


def environment() -> dict[str, str]:
    """Ours, with the project's modules."""
    return os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}


def walk_apart(
    options: Sequence[str], top: Path, one_file_system: bool = False
) -> tuple[list[str], dict[str, str]]:
    """Names of the files that a walk finds, and what becomes of directories that are left out."""
    ended = subprocess.run(
        python_apart(options, "-c", _WALK, str(top), "x" if one_file_system else "-"),
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    names, left = json.loads(ended.stdout)
    return names, left
