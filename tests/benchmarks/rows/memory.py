"""What stays in memory.

stub-memory-idle: VmRSS of a process that has imported the stub, is attached to an SVM and has nothing to do.
stub-memory-peak: VmHWM of `guest-stub scan` over 200,000 files with 20,000 different contents, cold.
svm-memory: all resident memory of the SVM's front process but the mapping of its verdict store, which
holds 1,000,000 verdicts, after a guest has asked for all of them in batches of 1,024.
svm-bytes-a-verdict: bytes that the file of the verdict store takes on disk, by verdict; they were put in
random order, which fills its pages as real use does.
"""

from tests.benchmarks.data import small_files
from tests.benchmarks.harness import Bench, Figure, Rounds, Target
from tests.benchmarks.processes import Driver, resident_without, status_mib
from tests.benchmarks.rows.known_digests import BATCH, IN_FLIGHT, SHORT_VERDICTS, VERDICTS
from tests.benchmarks.svm import Guest, Svm, known_verdicts

FILES, SHORT_FILES = 200_000, 1_000
CONTENTS, SHORT_CONTENTS = 20_000, 100
STORE_FILE = "cache.lmdb"
DISK_BLOCK = 512  # bytes of a unit of st_blocks
ROUNDS = 3


def stub(bench: Bench) -> list[Figure]:
    """Measure stub-memory-idle and stub-memory-peak."""
    files, contents = (SHORT_FILES, SHORT_CONTENTS) if bench.short else (FILES, CONTENTS)
    bench.say(f"  writing {files:,} files")
    small_files(bench.scratch / "tree", files, contents)
    idle = []
    with Svm(bench.scratch) as svm:
        for _ in range(bench.rounds(ROUNDS)):
            with Driver("attached", bench.scratch / "attached.log", target=svm.target) as driver:
                idle.append(status_mib(driver.pid, "VmRSS"))
        scan = Guest(svm.target, bench.scratch / "guest").scan(
            bench.scratch / "tree", files, watch_memory=True
        )
    note = f"{files:,} files, {contents:,} contents, in {scan.seconds:.0f} s"
    return [
        Figure("stub-memory-idle", "MiB", Rounds(tuple(idle)), Target(45, absolute=True)),
        Figure("stub-memory-peak", "MiB", Rounds((scan.peak_mib,)), Target(70, absolute=True), note),
    ]


def svm(bench: Bench) -> list[Figure]:
    """Measure svm-memory and svm-bytes-a-verdict."""
    knowledge = known_verdicts(bench, SHORT_VERDICTS if bench.short else VERDICTS)
    batches = -(-knowledge.count // BATCH)
    with Svm(bench.scratch, knowledge.state) as server:
        settings = {"digests": str(knowledge.digests), "batch": BATCH, "in_flight": IN_FLIGHT}
        with Driver("ask_svm", bench.scratch / "ask.log", target=server.target, **settings) as driver:
            driver.ask(seed=1, batches=batches)
            resident = resident_without(server.pid, STORE_FILE)
    stored = (knowledge.state / STORE_FILE).stat().st_blocks * DISK_BLOCK / knowledge.count
    note = f"{knowledge.count:,} verdicts"
    return [
        Figure("svm-memory", "MiB", Rounds((resident,)), Target(120, absolute=True), note),
        Figure("svm-bytes-a-verdict", "bytes", Rounds((stored,)), Target(170, absolute=True), note),
    ]
