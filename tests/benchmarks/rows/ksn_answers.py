"""How long a guest waits to know what becomes of a file that nobody knows, whatever state KSN is in.

Ours: one guest process with guest_stub.svm_link asks a real `svm serve` with KSN for one new file after
another; the time from its Check to the SVM's word that the content is needed, at the 99th percentile. The
upload and the scan are waited for and not timed. Theirs: the same with KSN off. A stand-in for the
service, in a process of its own:

- healthy  says at once that it knows nothing
- slow     says so after two seconds
- hanging  takes the question and says nothing
- dead     nobody listens

Before the clock of the last three the circuit breaker has opened, by eight files that came together.
After that its probes, one at a time, are among what is timed.
"""

from contextlib import ExitStack

from tests.benchmarks.harness import Bench, BenchError, Figure, Target
from tests.benchmarks.ksn import settings
from tests.benchmarks.processes import Driver
from tests.benchmarks.svm import Svm

FILES, SHORT_FILES = 1000, 30  # of one round
ROUNDS = 9
BREAKING = 8  # files at once; five failures in a row open the breaker
LEFT_ALONE = Target(1.2)
MILLISECONDS = 1e3


def healthy(bench: Bench) -> list[Figure]:
    """Measure ksn-answer-p99-healthy."""
    return _measure(bench, "healthy", None)


def slow(bench: Bench) -> list[Figure]:
    """Measure ksn-answer-p99-slow."""
    return _measure(bench, "slow", None)


def hanging(bench: Bench) -> list[Figure]:
    """Measure ksn-answer-p99-hanging."""
    return _measure(bench, "hanging", LEFT_ALONE)


def dead(bench: Bench) -> list[Figure]:
    """Measure ksn-answer-p99-dead."""
    return _measure(bench, "dead", LEFT_ALONE)


def _measure(bench: Bench, state: str, target: Target | None) -> list[Figure]:
    files = SHORT_FILES if bench.short else FILES
    places = [bench.scratch / name for name in ("with", "without")]
    for place in places:
        place.mkdir()
    with ExitStack() as stack:
        service = stack.enter_context(Driver("stand_in_ksn", bench.scratch / "ksn.log", state=state))
        asked = stack.enter_context(Svm(places[0], more=settings(service.ready["base_url"])))
        asked.accept_statement()
        left_out = stack.enter_context(Svm(places[1]))
        drivers = [
            stack.enter_context(Driver("ask_files", place / "ask.log", target=svm.target))
            for place, svm in zip(places, (asked, left_out), strict=True)
        ]
        for driver in drivers:
            driver.ask(new=BREAKING, in_flight=BREAKING)
        if bool(asked.figures()["ksn_usable"]) is not (state == "healthy"):
            raise BenchError(f"the breaker is not as it should be with a service that is {state}")

        def waited(driver: Driver) -> float:
            return float(driver.ask(new=files, in_flight=1)["p99"]) * MILLISECONDS

        rounds = bench.alternate(bench.rounds(ROUNDS), lambda: waited(drivers[0]), lambda: waited(drivers[1]))
    note = f"99th percentile of {files:,} files, one after another"
    return [Figure(f"ksn-answer-p99-{state}", "ms", rounds, target, note)]
