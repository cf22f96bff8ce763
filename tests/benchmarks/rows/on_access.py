"""What protection costs those who open files.

open-allowed: open, read and close of each of 2,000 files of 4 KiB that were allowed before, under
`guest-stub run` with block-open. Theirs: the same on a file system beside it that nobody watches.
first-open-p50, first-open-p99: the first open of such a file whose digest the SVM knows and the stub
does not, beside opening, reading and hashing it unwatched.
"""

import time
from statistics import median, quantiles

from tests.benchmarks.guarded import Guarded
from tests.benchmarks.harness import Bench, Figure, Rounds, Target
from tests.benchmarks.svm import Svm

FILES, SHORT_FILES = 2_000, 100
ROUNDS = 21
AGE_SECONDS = 2.5  # after which the stub trusts a file's times


def run(bench: Bench) -> list[Figure]:
    """Measure open-allowed, first-open-p50 and first-open-p99."""
    count = SHORT_FILES if bench.short else FILES
    with Svm(bench.scratch) as svm, Guarded(bench.scratch / "guarded", svm.target) as guarded:

        def opened(top: object, **more: object) -> list[float]:
            seconds: list[float] = guarded.ask("open_files", top=str(top), files=count, **more)
            return seconds

        for top in (guarded.watched, guarded.free):
            opened(top, make=True, seed=1)
        time.sleep(0 if bench.short else AGE_SECONDS)
        opened(guarded.watched)  # the SVM gets to know them, and the stub
        rounds = bench.alternate(
            bench.rounds(ROUNDS),
            lambda: 1e6 * median(opened(guarded.watched)),
            lambda: 1e6 * median(opened(guarded.free)),
        )
        # The same contents under other names: known to the SVM, and new to the stub.
        again = guarded.watched / "again"
        guarded.run(["cp", "-r", str(guarded.free), str(again)])
        time.sleep(0 if bench.short else AGE_SECONDS)
        first = [1e6 * each for each in opened(again)]
        hashed = [1e6 * each for each in opened(guarded.free, hash=True)]
    note = f"{count:,} files of 4 KiB"
    return [
        Figure("open-allowed", "us", rounds, Target(1.05), note),
        Figure("first-open-p50", "us", Rounds((median(first),), (median(hashed),)), note=note),
        Figure("first-open-p99", "us", Rounds((p99(first),), (p99(hashed),)), note=note),
    ]


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return quantiles(values, n=100)[98]
