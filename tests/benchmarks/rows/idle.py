"""What `guest-stub run` takes when nothing happens, and keeps when much has happened.

access-memory-idle, access-cpu-idle: VmRSS, and CPU time in hundredths of one core, over a minute in which
nobody opens a file that is watched; the stub is attached, with block-open.
access-memory, access-cpu-after: the same after 100,000 files were opened that the stub did not know, of
1,000 contents; the minute begins when all were answered.
"""

import time

from tests.benchmarks.data import small_files
from tests.benchmarks.guarded import Contents, Guarded
from tests.benchmarks.harness import Bench, Figure, Rounds, Target
from tests.benchmarks.processes import status_mib, thread_seconds
from tests.benchmarks.svm import Svm

SECONDS, SHORT_SECONDS = 60.0, 2.0
FILES, SHORT_FILES = 100_000, 1_000
CONTENTS, SHORT_CONTENTS = 1_000, 100


def run(bench: Bench) -> list[Figure]:
    """Measure the four figures."""
    files, contents = (SHORT_FILES, SHORT_CONTENTS) if bench.short else (FILES, CONTENTS)
    seconds = SHORT_SECONDS if bench.short else SECONDS
    bench.say(f"  writing {files:,} files")
    tree = bench.scratch / "files"
    small_files(tree, files, contents)
    with (
        Svm(bench.scratch) as svm,
        Guarded(bench.scratch / "guarded", svm.target, contents=Contents(tree)) as guarded,
    ):
        bench.say(f"  waiting {seconds:.0f} s")
        idle = _idle(guarded.pid, seconds)
        bench.say(f"  opening {files:,} files")
        took = guarded.run(["sh", "-c", 'find "$0" -type f -exec cat {} + >/dev/null', str(guarded.watched)])
        bench.say(f"  waiting {seconds:.0f} s")
        after = _idle(guarded.pid, seconds)
    note = f"after {files:,} opens of as many files, in {took:.0f} s"
    return [
        Figure("access-memory-idle", "MiB", Rounds((idle[0],)), Target(45, absolute=True)),
        Figure("access-cpu-idle", "%", Rounds((idle[1],)), Target(0.1, absolute=True)),
        Figure("access-memory", "MiB", Rounds((after[0],)), Target(45, absolute=True), note),
        Figure("access-cpu-after", "%", Rounds((after[1],)), Target(0.1, absolute=True), note),
    ]


def _idle(pid: int, seconds: float) -> tuple[float, float]:
    """MiB at the end of so many seconds, and CPU time of them in hundredths of one core."""
    before = thread_seconds(pid)
    time.sleep(seconds)
    return status_mib(pid, "VmRSS"), 100 * (thread_seconds(pid) - before) / seconds
