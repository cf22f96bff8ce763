"""Runs `svm` commands within a test, as a person would type them."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from appliance.cli.console import Console
from appliance.cli.program import run

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
NOON = 1_900_000_000.0  # 2030-03-17 17:46:40 UTC, the time at which commands run


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)


def svm(*arguments: object, environ: Mapping[str, str] | None = None, now: float = NOON) -> Ran:
    """Run `svm` with the arguments. environ: all of its environment, empty where none is given."""
    out, err = io.StringIO(), io.StringIO()
    code = run([str(argument) for argument in arguments], Console(environ or {}, out, err, lambda: now))
    return Ran(code, out.getvalue(), err.getvalue())


def svm_program(
    *arguments: object, environ: Mapping[str, str] | None = None, stdout: int | IO[str] = subprocess.PIPE
) -> Ran:
    """Run `svm` as a process of its own. environ: beside this process's own, which names no SVM."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KVMLA_")}
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
    ran = subprocess.run(
        [sys.executable, "-m", "appliance", *map(str, arguments)],
        env={**inherited, **paths, **(environ or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout or "", ran.stderr)
