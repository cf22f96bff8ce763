"""What opening files costs under `guest-stub run`, against clamonacc in its place.

Ours: block-open, with an SVM whose only engine is a clamd. Theirs: clamonacc that prevents, with the same
clamd and signatures; it marks every directory. Both watch the same files, and programs and libraries as well.

clamonacc-open-allowed: us of open, read and close of files of 4 KiB that were opened before.
clamonacc-first-open-p50, clamonacc-first-open-p99: us of the first open of a file whose content was looked
at before, under another name.
clamonacc-build: seconds of `make` of libsodium, built before once, as in the row `building`.
"""

import time
from statistics import median

from tests.benchmarks.building import build, clean, source
from tests.benchmarks.data import write_clam_signatures
from tests.benchmarks.guarded import TOOLS, Clamonacc, Contents, Guarded, Machine
from tests.benchmarks.harness import Bench, Figure, Rounds, Target
from tests.benchmarks.rows.on_access import AGE_SECONDS, FILES, SHORT_FILES, p99
from tests.benchmarks.rows.ten_guests import CLAMD_CACHE, SIGNATURES
from tests.benchmarks.svm import Engines, Svm
from tests.benchmarks.theirs import clamd

OPEN_ROUNDS, BUILD_ROUNDS = 5, 3
FIRST, AGAIN = "first", "again"
SEED = 7  # of contents; not that of the signatures, which would be found in them
AHEAD = Target(1.0)


def run(bench: Bench) -> list[Figure]:
    """Measure the four figures."""
    contents = Contents(source(bench), (FIRST, AGAIN), TOOLS)
    write_clam_signatures(bench.scratch / "database", 100 if bench.short else SIGNATURES)
    service, path, configuration = clamd(bench.scratch, bench.scratch / "database", CLAMD_CACHE)
    with (
        service,
        Svm(bench.scratch, engines=Engines(False, (), path)) as svm,
        Guarded(bench.scratch / "ours", svm.target, contents=contents) as ours,
        Clamonacc(bench.scratch / "theirs", configuration, contents) as theirs,
    ):
        return [*_opens(bench, ours, theirs), _build(bench, ours, theirs)]


def _opens(bench: Bench, ours: Machine, theirs: Machine) -> list[Figure]:
    count = SHORT_FILES if bench.short else FILES

    def opened(machine: Machine, directory: str) -> list[float]:
        """Microseconds of each."""
        top = str(machine.watched / directory)
        return [1e6 * each for each in machine.ask("open_files", top=top, files=count)]

    for directory in (FIRST, AGAIN):  # the first time nobody knows the contents; the second is measured
        for machine in (ours, theirs):
            machine.ask("open_files", top=str(machine.watched / directory), files=count, make=True, seed=SEED)
        time.sleep(0 if bench.short else AGE_SECONDS)
        first = opened(ours, directory), opened(theirs, directory)
    allowed = bench.alternate(
        bench.rounds(OPEN_ROUNDS),
        lambda: median(opened(ours, FIRST)),
        lambda: median(opened(theirs, FIRST)),
    )
    note = f"{count:,} files of 4 KiB"
    p50 = Rounds((median(first[0]),), (median(first[1]),))
    return [
        Figure("clamonacc-open-allowed", "us", allowed, AHEAD, note),
        Figure("clamonacc-first-open-p50", "us", p50, AHEAD, note),
        Figure("clamonacc-first-open-p99", "us", Rounds((p99(first[0]),), (p99(first[1]),)), AHEAD, note),
    ]


def _build(bench: Bench, ours: Machine, theirs: Machine) -> Figure:
    def built(machine: Machine) -> float:
        seconds = build(machine, few=bench.short)
        clean(machine)
        return seconds

    for machine in () if bench.short else (ours, theirs):
        built(machine)  # so that what is measured was done before
    rounds = bench.alternate(bench.rounds(BUILD_ROUNDS), lambda: built(ours), lambda: built(theirs))
    return Figure("clamonacc-build", "s", rounds, AHEAD)
