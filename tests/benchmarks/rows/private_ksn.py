"""The Private KSN by itself.

private-ksn-import: lines a second of `private-ksn import` of a plain list of 10,000,000 random SHA-256
into an empty data directory, as a whole command.
private-ksn-answers: answers a second of `private-ksn serve` about random ones of those, with an API key.
Theirs: a bare aiohttp handler, in another process, that always returns the same JSON, as long as ours, and
looks at nothing. The same client asks both over 16 connections, one question at a time on each: bytes made
before the clock starts, and a parser of its own, so that the server is what is measured.
"""

from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.data import each_digest, write_digests
from tests.benchmarks.harness import Bench, BenchError, Figure, Rounds, Target
from tests.benchmarks.ksn import PrivateKsn, write_feed
from tests.benchmarks.processes import Driver

KNOWN, SHORT_KNOWN = 10_000_000, 10_000
QUESTIONS, SHORT_QUESTIONS = 20_000, 500  # of one round
CONNECTIONS = 16
ROUNDS = 9


def run(bench: Bench) -> list[Figure]:
    """Measure private-ksn-import and private-ksn-answers."""
    count = SHORT_KNOWN if bench.short else KNOWN
    digests, feed = bench.scratch / "digests.bin", bench.scratch / "feed.txt"
    write_digests(digests, count)
    write_feed(feed, each_digest(digests.read_bytes()))
    ksn = PrivateKsn(bench.scratch / "private-ksn")
    rate = count / ksn.take_in(feed)
    imported = Figure("private-ksn-import", "digests/s", Rounds((rate,)), note=f"{count:,} digests")
    bench.say(f"  import: {rate:.5g} digests/s")
    return [imported, _answers(bench, ksn, digests)]


def _answers(bench: Bench, ksn: PrivateKsn, digests: Path) -> Figure:
    """Measure private-ksn-answers. digests: a file of those that it knows."""
    questions = SHORT_QUESTIONS if bench.short else QUESTIONS
    with ExitStack() as stack:
        stack.enter_context(ksn.serve())

        def client(port: int) -> Driver:
            settings = {"port": port, "digests": str(digests), "key": ksn.key, "connections": CONNECTIONS}
            return stack.enter_context(Driver("ask_http", bench.scratch / f"ask-{port}.log", **settings))

        asking = client(ksn.port)
        body = asking.ask(body=True)["body"]
        bare = stack.enter_context(Driver("bare_http", bench.scratch / "bare.log", body=body))
        bare_asking = client(bare.ready["port"])
        seed = 0

        def rate(driver: Driver) -> float:
            nonlocal seed
            seed += 1
            answer = driver.ask(seed=seed, count=questions)
            if answer["answered"] != questions:
                raise BenchError(f"{questions - answer['answered']} of {questions} questions got no 200")
            return float(questions / answer["seconds"])

        rounds = bench.alternate(bench.rounds(ROUNDS), lambda: rate(asking), lambda: rate(bare_asking))
    note = f"{CONNECTIONS} connections, bodies of {len(body)} bytes"
    return Figure("private-ksn-answers", "answers/s", rounds, Target(0.6, at_least=True), note)
