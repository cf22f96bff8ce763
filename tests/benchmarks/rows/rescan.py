"""How long a scan takes in a guest where nothing has changed since its last one.

Data: this machine's whole /usr. Ours: the whole command `guest-stub scan /usr` with the state that its
last scan left. Theirs: the whole command `python` with os.walk and os.lstat of every entry, which is the
least that tells whether a file has changed. Wall clock, page cache warm.
"""

from tests.benchmarks.harness import Bench, Figure, Target
from tests.benchmarks.processes import python
from tests.benchmarks.processes import run as run_command
from tests.benchmarks.rows.usr import scanned_usr
from tests.benchmarks.svm import Guest, Svm

ROUNDS = 7


def run(bench: Bench) -> list[Figure]:
    """Measure rescan-unchanged."""
    usr = scanned_usr(bench)
    walking = python("-m", "tests.benchmarks.drivers.stat_tree", str(usr.top))
    with Svm(bench.scratch, usr.svm) as svm:
        guest = Guest(svm.target, bench.scratch / "guest")
        guest.scan(usr.top, usr.files)
        rounds = bench.alternate(
            bench.rounds(ROUNDS),
            lambda: guest.scan(usr.top, usr.files).seconds,
            lambda: run_command(walking).seconds,
        )
    return [Figure("rescan-unchanged", "s", rounds, Target(3), f"{usr.files:,} files")]
