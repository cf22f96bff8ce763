"""How many verdicts a second one guest gets for digests that the SVM knows.

Ours: one guest process with guest_stub.svm_link, batches of 1,024 random known digests, eight
batches in flight, over a unix socket to a real `svm serve` whose store holds 1,000,000 verdicts.
Against LMDB: py-lmdb's `get` of random ones of the same keys, with the same record as value, in one
process and one read transaction, nothing else in it. Against Redis: MGET of 1,024 random ones of
the same digests, same value, by redis-py with hiredis, from a local redis-server over a unix socket.
Digests are chosen and encoded before the clock starts, on every side.
"""

from contextlib import ExitStack

from tests.benchmarks.harness import Bench, BenchError, Figure, Target
from tests.benchmarks.processes import Driver
from tests.benchmarks.svm import Svm, known_verdicts
from tests.benchmarks.theirs import redis_server

VERDICTS, SHORT_VERDICTS = 1_000_000, 5_000
BATCH = 1024
BATCHES, SHORT_BATCHES = 600, 8  # of one round: about a second
IN_FLIGHT = 8
ROUNDS = 7
AGAINST_LMDB = Target(0.8, at_least=True)
AGAINST_REDIS = Target(1.2, at_least=True)


class Rate:
    """Asks a driver for one round after another, each with digests of its own."""

    def __init__(self, driver: Driver, count: str, amount: int, digests: int) -> None:
        """count, amount: the part of the question that says how much. digests: how many that makes."""
        self._driver, self._question, self._digests, self._seed = driver, {count: amount}, digests, 0

    def __call__(self) -> float:
        """Return verdicts a second of a round."""
        self._seed += 1
        answer = self._driver.ask(seed=self._seed, **self._question)
        if answer["found"] != self._digests:
            raise BenchError(f"{self._digests - answer['found']} of {self._digests} digests were not known")
        return float(self._digests / answer["seconds"])


def against_lmdb(bench: Bench) -> list[Figure]:
    """Measure known-digests-vs-lmdb."""
    return _measure(bench, "known-digests-vs-lmdb", AGAINST_LMDB)


def against_redis(bench: Bench) -> list[Figure]:
    """Measure known-digests-vs-redis."""
    return _measure(bench, "known-digests-vs-redis", AGAINST_REDIS)


def _measure(bench: Bench, name: str, target: Target) -> list[Figure]:
    knowledge = known_verdicts(bench, SHORT_VERDICTS if bench.short else VERDICTS)
    batches = SHORT_BATCHES if bench.short else BATCHES
    digests = batches * BATCH
    shared = {"digests": str(knowledge.digests), "value": knowledge.value, "batch": BATCH}
    with ExitStack() as stack:
        svm = stack.enter_context(Svm(bench.scratch, knowledge.state))
        asking = Driver(
            "ask_svm", bench.scratch / "ask.log", target=svm.target, in_flight=IN_FLIGHT, **shared
        )
        ours = Rate(stack.enter_context(asking), "batches", batches, digests)
        if target is AGAINST_REDIS:
            server, path = redis_server(bench.scratch)
            stack.enter_context(server)
            getting = Driver("mget_redis", bench.scratch / "redis-driver.log", socket=str(path), **shared)
            theirs = Rate(stack.enter_context(getting), "batches", batches, digests)
        else:
            place = str(bench.scratch / "their-lmdb")
            getting = Driver(
                "get_lmdb", bench.scratch / "lmdb.log", directory=place, prefix=knowledge.prefix, **shared
            )
            theirs = Rate(stack.enter_context(getting), "count", digests, digests)
        rounds = bench.alternate(bench.rounds(ROUNDS), ours, theirs)
    note = f"{knowledge.count:,} verdicts, batches of {BATCH:,}, {IN_FLIGHT} in flight"
    return [Figure(name, "verdicts/s", rounds, target, note)]
