"""How long a later guest's scan of a tree takes that another guest has scanned before.

Data: this machine's whole /usr, in the page cache. Ours: the whole command `guest-stub scan /usr` with an
empty state of its own, against an SVM with the embedded defaults that knows every content. Theirs: the
whole command that walks the same tree and takes hashlib.file_digest of the same files (hard links once,
nothing over the SVM's limit of 256 MiB) in as many threads as this machine has CPUs, which is the stub's
number too. Wall clock.
"""

import json
import os

from tests.benchmarks.harness import Bench, BenchError, Figure, Target
from tests.benchmarks.processes import python
from tests.benchmarks.processes import run as run_command
from tests.benchmarks.rows.usr import scanned_usr
from tests.benchmarks.svm import LARGEST_FILE_MIB, Guest, Svm, fresh, summary

ROUNDS = 5


def run(bench: Bench) -> list[Figure]:
    """Measure later-guest-scan."""
    usr = scanned_usr(bench)
    threads = str(os.cpu_count() or 1)
    hashing = python(
        "-m", "tests.benchmarks.drivers.hash_tree", threads, str(LARGEST_FILE_MIB << 20), str(usr.top)
    )
    hashed = json.loads(run_command(hashing).output)
    with Svm(bench.scratch, usr.svm) as svm:
        scans = svm.figures()["scans"]

        def ours() -> float:
            ended = Guest(svm.target, fresh(bench.scratch / "guest")).scan(usr.top)
            if (files := summary(ended)["files"]) < hashed["files"]:
                raise BenchError(f"the stub counted {files} files, the walk {hashed['files']}")
            return ended.seconds

        rounds = bench.alternate(bench.rounds(ROUNDS), ours, lambda: run_command(hashing).seconds)
        scans = svm.figures()["scans"] - scans
    note = f"{hashed['files']:,} files, {hashed['bytes'] / 1e6:,.0f} MB; {scans:.0f} scans by engines"
    return [Figure("later-guest-scan", "s", rounds, Target(1.7), note)]
