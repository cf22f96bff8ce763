"""How long a later guest's scan of a tree takes that another guest has scanned before.

Data: this machine's whole /usr, in the page cache. Ours: the whole command `guest-stub scan /usr` with an
empty state of its own, against an SVM with the embedded defaults that knows every content. Theirs: the
whole command that walks the same tree and takes hashlib.file_digest of the same files (hard links once) in
as many threads as this machine has CPUs, which is the stub's number too. Wall clock.
"""

from tests.benchmarks.harness import Bench, Figure, Target
from tests.benchmarks.processes import run as run_command
from tests.benchmarks.rows.usr import hashing, scanned_usr
from tests.benchmarks.svm import Guest, Svm, fresh

ROUNDS = 5


def run(bench: Bench) -> list[Figure]:
    """Measure later-guest-scan."""
    usr = scanned_usr(bench)
    with Svm(bench.scratch, usr.svm) as svm:
        before = svm.figures()["scans"]
        rounds = bench.alternate(
            bench.rounds(ROUNDS),
            lambda: Guest(svm.target, fresh(bench.scratch / "guest")).scan(usr.top, usr.files).seconds,
            lambda: run_command(hashing(usr.top)).seconds,
        )
        scans = svm.figures()["scans"] - before
    note = f"{usr.files:,} files, {usr.bytes / 1e6:,.0f} MB; {scans:.0f} scans by engines"
    return [Figure("later-guest-scan", "s", rounds, Target(1.7), note)]
