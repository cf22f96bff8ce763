"""How many files a second a guest is answered about that a Private KSN knows.

ksn-lookups-cold: one guest process with guest_stub.svm_link asks a real `svm serve` for digests that
nobody asked for before, in batches of 256, four in flight; the SVM asks a real `private-ksn serve` for
each over HTTP, 16 at a time, and writes each into its ledger before. ksn-lookups-cached: the same digests
again, in the SVM's cache. The time that KSN may take is lengthened, so that every question is answered
and none scanned instead.
"""

from contextlib import ExitStack

from tests.benchmarks.data import split_digests, write_digests
from tests.benchmarks.harness import Bench, BenchError, Figure, Rounds
from tests.benchmarks.ksn import PrivateKsn, settings, write_feed
from tests.benchmarks.processes import Driver
from tests.benchmarks.svm import Svm

DIGESTS, SHORT_DIGESTS = 4096, 256  # of one round
ROUNDS = 5
BATCH = 256
IN_FLIGHT = 4


def run(bench: Bench) -> list[Figure]:
    """Measure ksn-lookups-cold and ksn-lookups-cached."""
    count = SHORT_DIGESTS if bench.short else DIGESTS
    rounds = bench.rounds(ROUNDS)
    digests, feed = bench.scratch / "digests.bin", bench.scratch / "feed.txt"
    write_digests(digests, count * rounds)
    write_feed(feed, split_digests(digests.read_bytes()))
    ksn = PrivateKsn(bench.scratch / "private-ksn")
    ksn.take_in(feed)
    terms = settings(ksn.base_url, ksn.key_file, open_questions=65536, longest_seconds=60.0, budget_share=0.9)
    cold: list[float] = []
    cached: list[float] = []
    with ExitStack() as stack:
        stack.enter_context(ksn.serve())
        svm = stack.enter_context(Svm(bench.scratch, more=terms))
        svm.accept_statement()
        asking = stack.enter_context(
            Driver("ask_files", bench.scratch / "ask.log", target=svm.target, digests=str(digests))
        )
        for number in range(rounds):
            for taken in (cold, cached):
                answer = asking.ask(first=number * count, count=count, batch=BATCH, in_flight=IN_FLIGHT)
                if answer["malicious"] != count:
                    raise BenchError(f"{count - answer['malicious']} of {count} digests were not found bad")
                taken.append(count / answer["seconds"])
            bench.say(f"  round {number + 1} of {rounds}: cold {cold[-1]:.5g}, cached {cached[-1]:.5g}")
    note = f"{count:,} digests, batches of {BATCH}, {IN_FLIGHT} in flight"
    return [
        Figure(f"ksn-lookups-{name}", "files/s", Rounds(tuple(taken)), note=note)
        for name, taken in (("cold", cold), ("cached", cached))
    ]
