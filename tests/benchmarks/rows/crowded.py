"""How well-behaved guests fare beside hostile ones, and what comes and goes leaves behind.

crowd-p99, crowd-p50: 200 guests, each by its own link, ask a real `svm serve` about known files at random
times, four a second each. Ours: beside five hostile guests that do nothing else, one of each kind
(drivers/flood.py): connections that say nothing, questions about digests that nobody knows, uploads, events,
answers that are not taken. Theirs: the same guests without those, in turn, in the same run. Medians of the
rounds, of 99th percentile and median of the time to the answer.

crowd-tls-p99, crowd-tls-p50: the same over TCP with mutual TLS, each guest by a certificate of its own, the
floods too; the connections come from another address, say nothing or begin a handshake.

The hostile processes run when nothing else does (SCHED_IDLE): on a host a guest's own work is done on its own
processors and not on the SVM's, and what is measured is the SVM. For the same reason the SVM and the
well-behaved guests run before all else (SCHED_RR) where root runs the benchmark.

svm-memory-reconnects: MiB that the memory of the SVM's front process, without its mappings of files, has
grown by while 10,000 guests attached, asked and went, after the first 5,000: one that left its session
behind would cost 30. svm-sockets-reconnects: sockets that it has more than before all of them.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.benchmarks.data import split_digests
from tests.benchmarks.enrolled import enrol
from tests.benchmarks.harness import Bench, BenchError, Figure, Rounds, Target
from tests.benchmarks.processes import Driver, status_mib
from tests.benchmarks.svm import Svm, known_verdicts
from tests.support.relay import free_port

GUESTS, SHORT_GUESTS = 200, 16
OF_A_PROCESS = 8
PER_SECOND = 4.0
SECONDS, SHORT_SECONDS = 6.0, 2.0
ROUNDS = 9
KINDS = ("connections", "questions", "uploads", "events", "slow_readers")
VERDICTS = 20_000
MANY_TICKETS = "[limits]\ntickets_per_user = 1024\n"
MANY_OF_AN_ADDRESS = "[limits]\nconnections_per_address = 512\n"  # the well-behaved ones share theirs
BETWEEN_SECONDS = 1.0  # from one side to the other
TIMES, SHORT_TIMES = 10_000, 300
WARM = 2  # one in so many more come before the first look
PROCESSES = 4
SETTLED_SECONDS = 30.0
MILLISECONDS = 1e3


class _Crowd:
    """All guests of the row, and the floods beside them."""

    def __init__(
        self, bench: Bench, stack: ExitStack, svm: Svm, digests: Path, identities: Path | None
    ) -> None:
        """Start them; each is attached. identities: a file of `enrolled` for all of them, over TLS."""
        guests = _guests(bench)
        proving = {} if identities is None else {"identities": str(identities)}
        self._seconds = SHORT_SECONDS if bench.short else SECONDS
        self._pool = stack.enter_context(ThreadPoolExecutor(guests // OF_A_PROCESS + len(KINDS)))
        self._round = 0
        asking = {"digests": str(digests), "guests": OF_A_PROCESS, "per_second": PER_SECOND, **proving}

        def crowd(number: int) -> Driver:
            log, first = bench.scratch / f"crowd-{number}.log", number * OF_A_PROCESS
            return Driver("crowd", log, target=svm.target, first=first, **asking)

        def flood(kind: str) -> Driver:
            log, first = bench.scratch / f"{kind}.log", guests + KINDS.index(kind)
            return Driver("flood", log, target=svm.target, kind=kind, first=first, **proving)

        self._crowd = list(self._pool.map(crowd, range(guests // OF_A_PROCESS)))
        self._floods = list(self._pool.map(flood, KINDS))
        for driver in (*self._crowd, *self._floods):
            stack.enter_context(driver)
        for driver in self._crowd:
            first_of_all(driver.pid)
        first_of_all(svm.pid)
        self.medians: dict[bool, list[float]] = {True: [], False: []}  # by whether there were floods

    def p99(self, beside_floods: bool) -> float:
        """Milliseconds within which 99 of 100 answers came, in one round."""
        if beside_floods:
            list(self._pool.map(lambda driver: driver.ask(flood=True), self._floods))
        self._round += 1
        seeds = range(1000 * self._round, 1000 * self._round + len(self._crowd))

        def ask(driver: Driver, seed: int) -> list[float]:
            answer = driver.ask(seed=seed, seconds=self._seconds)
            waited: list[float] = answer["waited"]
            return waited

        times = sorted(each for some in self._pool.map(ask, self._crowd, seeds) for each in some)
        if beside_floods:
            done = list(self._pool.map(lambda driver: driver.ask(flood=False)["done"], self._floods))
            if not all(done):
                raise BenchError(f"a flood did nothing: {dict(zip(KINDS, done, strict=True))}")
        time.sleep(BETWEEN_SECONDS)
        self.medians[beside_floods].append(times[len(times) // 2] * MILLISECONDS)
        return times[len(times) * 99 // 100] * MILLISECONDS


def first_of_all(pid: int) -> None:
    """Have a process run before whatever else this machine does, where that is allowed."""
    with suppress(PermissionError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(1))


def _guests(bench: Bench) -> int:
    return SHORT_GUESTS if bench.short else GUESTS


def floods(bench: Bench) -> list[Figure]:
    """Measure crowd-p99 and crowd-p50."""
    knowledge = known_verdicts(bench, VERDICTS)
    with Svm(bench.scratch, knowledge.state, more=MANY_TICKETS) as svm:
        return _measured(bench, svm, knowledge.digests, None, "crowd")


def floods_over_tls(bench: Bench) -> list[Figure]:
    """Measure crowd-tls-p99 and crowd-tls-p50."""
    knowledge, identities = known_verdicts(bench, VERDICTS), bench.scratch / "identities.json"
    enrol(knowledge.state, _guests(bench) + len(KINDS), identities)
    with Svm(bench.scratch, knowledge.state, more=MANY_OF_AN_ADDRESS, port=free_port()) as svm:
        return _measured(bench, svm, knowledge.digests, identities, "crowd-tls")


def _measured(bench: Bench, svm: Svm, digests: Path, identities: Path | None, name: str) -> list[Figure]:
    with ExitStack() as stack:
        crowd = _Crowd(bench, stack, svm, digests, identities)
        crowd.p99(beside_floods=False)  # everybody has asked once
        crowd.medians[False].clear()
        rounds = bench.alternate(bench.rounds(ROUNDS), lambda: crowd.p99(True), lambda: crowd.p99(False))
    medians = Rounds(tuple(crowd.medians[True]), tuple(crowd.medians[False]))
    note = f"{_guests(bench)} guests beside {len(KINDS)} floods, and without"
    return [
        Figure(f"{name}-p99", "ms", rounds, Target(1.3), note),
        Figure(f"{name}-p50", "ms", medians, None, note),
    ]


def reconnects(bench: Bench) -> list[Figure]:
    """Measure svm-memory-reconnects and svm-sockets-reconnects."""
    knowledge = known_verdicts(bench, VERDICTS)
    times = SHORT_TIMES if bench.short else TIMES
    with ExitStack() as stack:
        svm = stack.enter_context(Svm(bench.scratch, knowledge.state, more=MANY_TICKETS))
        sockets = _sockets(svm.pid)
        digest = split_digests(knowledge.digests.read_bytes())[0].hex()
        settings = {"target": svm.target, "at_once": OF_A_PROCESS, "digest": digest}
        drivers = [
            stack.enter_context(Driver("come_and_go", bench.scratch / f"go-{number}.log", **settings))
            for number in range(PROCESSES)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(PROCESSES))

        def come_and_go(count: int) -> tuple[float, int]:
            done = pool.map(lambda driver: driver.ask(times=count // PROCESSES)["done"], drivers)
            bench.say(f"  {sum(done):,} came and went")
            return _settled(svm, sockets)

        before = come_and_go(times // WARM)
        after = come_and_go(times)
    note = f"{times:,} guests attached, asked and went"
    grown, sockets_left = Rounds((after[0] - before[0],)), Rounds((float(after[1]),))
    return [
        Figure("svm-memory-reconnects", "MiB", grown, Target(8, absolute=True), note),
        Figure("svm-sockets-reconnects", "sockets", sockets_left, Target(0, absolute=True), note),
    ]


def _settled(svm: Svm, sockets: int) -> tuple[float, int]:
    """MiB of its own memory, and sockets that it has more than those, once what has gone is closed."""
    end = time.monotonic() + SETTLED_SECONDS
    while _sockets(svm.pid) > sockets and time.monotonic() < end:
        time.sleep(0.2)
    return status_mib(svm.pid, "RssAnon"), _sockets(svm.pid) - sockets


def _sockets(pid: int) -> int:
    """How many sockets a process has."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):  # closed meanwhile
            count += os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
    return count
