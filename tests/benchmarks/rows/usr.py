"""The tree of the rows that take a whole real one: /usr, or a sample of it in a short run.

The first row that asks for it has a first guest scan the tree through an SVM with the embedded
defaults, so that the SVM's store knows every content in it; later rows start an SVM on that store.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.data import USR, sample
from tests.benchmarks.harness import Bench
from tests.benchmarks.processes import python
from tests.benchmarks.processes import run as run_command
from tests.benchmarks.svm import Guest, Svm, fresh

SHORT_ONE_IN = 1000


@dataclass(frozen=True, slots=True)
class Scanned:
    """top: the tree. svm: state of an SVM that knows it. files, bytes: what counts in it."""

    top: Path
    svm: Path
    files: int
    bytes: int


def scanned_usr(bench: Bench) -> Scanned:
    """Return the tree and what is known of it."""
    place = bench.shared / "usr"
    top = place / "tree" if bench.short else USR
    state, done = place / "svm-state", place / "done"
    if bench.short and not top.exists():
        sample(top, SHORT_ONE_IN)
    counted = json.loads(run_command(hashing(top)).output)
    if not done.exists():
        bench.say(f"  a first guest scans {top}")
        place.mkdir(exist_ok=True)
        with Svm(place, state) as svm:
            scan = Guest(svm.target, fresh(place / "guest")).scan(top, counted["files"])
        bench.say(f"  it took {scan.seconds:.0f} s: {scan.counts}")
        done.touch()
    return Scanned(top, state, counted["files"], counted["bytes"])


def hashing(top: Path) -> list[str]:
    """Return the command that hashes the tree in as many threads as the stub has; it reads every file."""
    return python("-m", "tests.benchmarks.drivers.hash_tree", str(os.cpu_count() or 1), str(top))
