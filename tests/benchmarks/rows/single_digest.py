"""How long one known digest takes on the open stream.

Ours: guest_stub.svm_link asks a real `svm serve` with 1,000,000 verdicts for one random known digest
after another; the median of 1,500. Theirs: a bare grpc.aio bidi echo in another process, no protobuf,
no work, with messages as long as ours, over the same kind of socket. 1,500 a round stays below the
SVM's flood bound of 2,000 messages a second and guest, which would slow a guest down.
"""

from contextlib import ExitStack

from tests.benchmarks.harness import Bench, BenchError, Figure, Target
from tests.benchmarks.processes import Driver
from tests.benchmarks.rows.known_digests import SHORT_VERDICTS, VERDICTS
from tests.benchmarks.svm import Svm, known_verdicts

SINGLES, SHORT_SINGLES = 1500, 50
ROUNDS = 9
REQUEST_BYTES = 46  # a CheckRequest of one digest: number, purpose, 2 + 32 bytes, budget
REPLY_BYTES = 20  # its CheckReply: number, one outcome, generation, valid_for
MICROSECONDS = 1e6


def run(bench: Bench) -> list[Figure]:
    """Measure single-digest-p50."""
    knowledge = known_verdicts(bench, SHORT_VERDICTS if bench.short else VERDICTS)
    singles = SHORT_SINGLES if bench.short else SINGLES
    echo = f"unix:{bench.scratch / 'echo.sock'}"
    seed = 0
    with ExitStack() as stack:

        def start(module: str, **settings: object) -> Driver:
            return stack.enter_context(Driver(module, bench.scratch / f"{module}.log", **settings))

        svm = stack.enter_context(Svm(bench.scratch, knowledge.state))
        asking = start("ask_svm", target=svm.target, digests=str(knowledge.digests), batch=1, in_flight=1)
        start("echo_server", target=echo, reply_bytes=REPLY_BYTES)
        echoing = start("ask_echo", target=echo, request_bytes=REQUEST_BYTES)

        def ours() -> float:
            nonlocal seed
            seed += 1
            answer = asking.ask(seed=seed, singles=singles)
            if answer["found"] != singles:
                raise BenchError(f"{singles - answer['found']} of {singles} digests were not known")
            return float(answer["p50"]) * MICROSECONDS

        def theirs() -> float:
            return float(echoing.ask(count=singles)["p50"]) * MICROSECONDS

        rounds = bench.alternate(bench.rounds(ROUNDS), ours, theirs)
    note = f"median of {singles:,} one after another"
    return [Figure("single-digest-p50", "us", rounds, Target(1.5), note)]
