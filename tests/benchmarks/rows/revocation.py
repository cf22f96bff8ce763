"""How long it takes until guests know that a file turned out to be malicious.

100 stubs' links are attached to a real `svm serve` over its socket, each a guest of its own, eight from one
process; each was answered about a content in which nothing was found. Then an administrator has it called
malicious. revocation-last: from his call, which waits for the disk, until the last link has heard.
revocation-p50: until half of them have. Medians of the rounds, each with a content of its own.
"""

import hashlib
from contextlib import ExitStack
from statistics import median

from guest_stub.outcome import Outcome
from tests.benchmarks.harness import Bench, BenchError, Figure, Rounds, Target
from tests.benchmarks.processes import Driver
from tests.benchmarks.svm import Svm

GUESTS, SHORT_GUESTS = 100, 9
OF_A_PROCESS = 8
ROUNDS = 9


def run(bench: Bench) -> list[Figure]:
    """Measure revocation-last and revocation-p50."""
    guests = SHORT_GUESTS if bench.short else GUESTS
    last, half = [], []
    with ExitStack() as stack:
        svm = stack.enter_context(Svm(bench.scratch))

        def start(module: str, **settings: object) -> Driver:
            return stack.enter_context(Driver(module, bench.scratch / f"{module}.log", **settings))

        admin = start("overrule", socket=svm.admin)
        told = [
            start("guests_told", target=svm.target, links=min(OF_A_PROCESS, guests - first))
            for first in range(0, guests, OF_A_PROCESS)
        ]
        for number in range(bench.rounds(ROUNDS)):
            content = b"turns malicious, %d" % number
            digest = hashlib.sha256(content).hexdigest()
            for driver in told:
                outcomes = driver.ask(ask=content.hex())["outcomes"]
                if set(outcomes) != {Outcome.NOT_DETECTED}:
                    raise BenchError(f"the SVM answers {outcomes} about a harmless content")
            began = admin.ask(block=digest)["began"]
            seconds = sorted(at - began for driver in told for at in driver.ask(heard=digest)["at"])
            last.append(seconds[-1])
            half.append(median(seconds))
            bench.say(f"  round {number + 1}: half after {half[-1]:.3g} s, the last after {last[-1]:.3g} s")
    note = f"{guests} stubs attached, each answered before"
    return [
        Figure("revocation-last", "s", Rounds(tuple(last)), Target(1.0, absolute=True), note),
        Figure("revocation-p50", "s", Rounds(tuple(half)), note=note),
    ]
