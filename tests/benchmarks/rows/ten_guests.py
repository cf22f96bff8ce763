"""Ten guests with the same tree: is every content scanned once, and what does that save?

ten-guests-engine-bytes: one file in 40 of /usr, with the doubles that it has; ten guest stubs, each with
a state of its own, scan it at the same time against an empty SVM with the embedded defaults. Ours: bytes
that the SVM gave to engines. Theirs: bytes of the different contents.

ten-guests-vs-clamdscan: one file in 10 of /usr. Theirs: ten runs of `clamdscan --fdpass`, one after
another, with one local clamd; CPU seconds of clamdscan and clamd. Ours: ten guest stubs, one after
another, against one SVM whose only engine is the same clamd with the same 5,000 signatures; CPU seconds
of stubs, SVM, workers and clamd. With the same engine on both sides the ratio is what scanning once
saves, not how fast an engine is. Each side starts with a fresh clamd; starting stands in neither side.
clamd remembers 65,536 clean files, which a whole /usr of over 117,000 overflows: the cache is made smaller
by as much as the tree is, so that it overflows alike, and a run takes minutes instead of an hour.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.data import Tree, read_all, sample, write_clam_signatures
from tests.benchmarks.harness import Bench, Figure, Rounds, Target
from tests.benchmarks.processes import cpu_seconds
from tests.benchmarks.processes import run as run_command
from tests.benchmarks.svm import Engines, Guest, Svm, fresh
from tests.benchmarks.theirs import clamd, program

GUESTS, SHORT_GUESTS = 10, 3
ONCE_ONE_IN, SHORT_ONE_IN = 40, 2000
CLAMD_ONE_IN = 10
CLAMD_CACHE = 65_536  # entries, clamd's default
SIGNATURES = 5000
ROUNDS = 3
DATABASE = "database"


def engine_bytes(bench: Bench) -> list[Figure]:
    """Measure ten-guests-engine-bytes."""
    tree = sample(bench.scratch / "tree", SHORT_ONE_IN if bench.short else ONCE_ONE_IN)
    guests = SHORT_GUESTS if bench.short else GUESTS
    with Svm(bench.scratch) as svm, ThreadPoolExecutor(guests) as pool:
        stubs = [Guest(svm.target, bench.scratch / f"guest-{number}") for number in range(guests)]
        list(pool.map(lambda stub: stub.scan(tree.top, len(tree.files)), stubs))
        given = svm.figures()["engine_bytes"]
    rounds = Rounds((given / 1e6,), (tree.unique / 1e6,))
    note = f"{len(tree.files):,} files, {guests} guests at once"
    return [Figure("ten-guests-engine-bytes", "MB", rounds, Target(1.0), note)]


def against_clamdscan(bench: Bench) -> list[Figure]:
    """Measure ten-guests-vs-clamdscan."""
    one_in = SHORT_ONE_IN if bench.short else CLAMD_ONE_IN
    guests = SHORT_GUESTS if bench.short else GUESTS
    bench.say("  sampling /usr")
    tree = sample(bench.scratch / "tree", one_in)
    read_all(tree.top)
    write_clam_signatures(bench.scratch / DATABASE, SIGNATURES)
    entries = CLAMD_CACHE // one_in
    rounds = bench.alternate(
        bench.rounds(ROUNDS),
        lambda: _stubs(bench.scratch, tree, guests, entries),
        lambda: _clamdscans(bench.scratch, tree, guests, entries),
    )
    size = f"{len(tree.files):,} files, {tree.total / 1e6:,.0f} MB"
    note = f"{size}, {guests} guests, {entries:,} entries in clamd's cache"
    return [Figure("ten-guests-vs-clamdscan", "CPU s", rounds, Target(0.3), note)]


def _stubs(scratch: Path, tree: Tree, guests: int, entries: int) -> float:
    """Return the CPU seconds of all guests' scans through an SVM. entries: of clamd's cache."""
    service, path, _ = clamd(scratch, scratch / DATABASE, entries)
    with service, Svm(scratch, fresh(scratch / "svm-state"), Engines(False, (), path)) as svm:
        before = cpu_seconds()
        for number in range(guests):
            Guest(svm.target, fresh(scratch / f"guest-{number}")).scan(tree.top, len(tree.files))
        return cpu_seconds() - before


def _clamdscans(scratch: Path, tree: Tree, guests: int, entries: int) -> float:
    """Return the CPU seconds of all guests' runs of clamdscan."""
    service, _, configuration = clamd(scratch, scratch / DATABASE, entries)
    command = [program("clamdscan"), "--fdpass", "--quiet", f"--config-file={configuration}", str(tree.top)]
    with service:
        before = cpu_seconds()
        for _ in range(guests):
            run_command(command)
        return cpu_seconds() - before
