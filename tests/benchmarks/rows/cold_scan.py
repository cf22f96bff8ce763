"""What the first guest's scan costs beyond the engine: CPU seconds of everything.

Data: one file in 2 of this machine's /usr, copied, each content once and without containers (an SVM
would look into them, YARA-X alone does not), so that both sides give the very same bytes to the engine.
Ours: `guest-stub scan` of that tree with an empty SVM; CPU seconds of the stub, the SVM's front process,
its sandboxed workers and all that they started. Theirs: one Python process with one yara_x.Scanner and
scan_file on each file, one after another. Both with the same 5,000 generated rules, and, on our side,
with nothing else to scan with but the EICAR engine. Starting an SVM and compiling the rules stands in
neither side: it is done before the files come. What a stub costs to start does, on ours.
"""

import os
from pathlib import Path

from tests.benchmarks.data import read_all, sample
from tests.benchmarks.harness import Bench, BenchError, Figure, Target
from tests.benchmarks.processes import Driver, cpu_seconds
from tests.benchmarks.svm import Engines, Guest, Svm, fresh
from tests.benchmarks.yara_rules import write_rules

ONE_IN, SHORT_ONE_IN = 2, 2000
RULES, SHORT_RULES = 5000, 50
ROUNDS = 5


def run(bench: Bench) -> list[Figure]:
    """Measure cold-scan-cpu."""
    rules = bench.scratch / "rules"
    rules.mkdir()
    write_rules(rules, SHORT_RULES if bench.short else RULES)
    bench.say("  sampling /usr")
    tree = sample(bench.scratch / "tree", SHORT_ONE_IN if bench.short else ONE_IN, plain_and_unique=True)
    read_all(tree.top)
    names = bench.scratch / "files"
    names.write_bytes(b"\0".join(os.fsencode(path) for path in tree.files))
    engines = Engines(shipped=False, rules_dirs=(rules,))
    settings = {"rules": str(rules), "files": str(names)}
    rounds = bench.alternate(
        bench.rounds(ROUNDS),
        lambda: _ours(bench.scratch, tree.top, engines, len(tree.files)),
        lambda: _theirs(bench.scratch, settings),
    )
    speed = tree.total / 1e6 / (rounds.their_median or 1)
    note = f"{len(tree.files):,} files, {tree.total / 1e6:,.0f} MB; YARA-X alone {speed:.0f} MB/s a core"
    return [Figure("cold-scan-cpu", "CPU s", rounds, Target(1.4), note)]


def _ours(scratch: Path, top: Path, engines: Engines, files: int) -> float:
    """Return the CPU seconds of a first guest's scan."""
    with Svm(scratch, fresh(scratch / "svm-state"), engines) as svm:
        before = cpu_seconds()
        scan = Guest(svm.target, fresh(scratch / "guest")).scan(top, files)
        spent = cpu_seconds() - before
        scanned = svm.figures()["scans"]
    if scanned != files:
        raise BenchError(f"{scanned:.0f} of {files} files were scanned; the stub says {scan.counts}")
    return spent


def _theirs(scratch: Path, settings: dict[str, str]) -> float:
    """Return the CPU seconds of YARA-X alone."""
    with Driver("yara_files", scratch / "yara.log", **settings) as driver:
        before = cpu_seconds()
        driver.ask()
        return cpu_seconds() - before
