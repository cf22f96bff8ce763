"""`python -m tests.chaos [--rounds N] [--seed S] [--first N] [--only KIND]`."""

import argparse
import asyncio
import compileall
import json
import random
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.processes import adopt_orphans
from tests.chaos import disk
from tests.chaos.book import Book
from tests.chaos.broken import Broken
from tests.chaos.contents import Kind
from tests.chaos.people import gather
from tests.chaos.rounds import KINDS, Run
from tests.chaos.serving import Serving, ports
from tests.support import commands
from tests.support.apart import ROOT
from tests.support.misbehaving_ksn import RED, Connection, Fault, MisbehavingKsn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds; 0 where every promise was kept. A broken one leaves the directory as it is."""
    options = _parser().parse_args(arguments)
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    directory = Path(tempfile.mkdtemp(prefix="kvmla-chaos-"))
    adopt_orphans()
    _compile()
    print(f"seed {seed}, {options.rounds} rounds, in {directory}", flush=True)
    try:
        asyncio.run(_run(directory, seed, options))
    except (Broken, ExceptionGroup) as broken:
        number = json.loads((directory / "round").read_text())
        print(f"BROKEN in round {number} of seed {seed}; everything lies in {directory}", file=sys.stderr)
        for error in _leaves(broken):
            print(f"  {error}", file=sys.stderr)
            if not isinstance(error, Broken):
                traceback.print_exception(error)
        print(f"again: python -m tests.chaos --seed {seed} --first {number} --rounds 1", file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    return 0


def _compile() -> None:
    """Have the bytecode of what is started over and over ready.

    Workers never write theirs, and where nobody does, two of three seconds of a start go into it.
    """
    for package in ("appliance", "guest_stub", "protos"):
        compileall.compile_dir(ROOT / package, quiet=2)


async def _run(directory: Path, seed: int, options: argparse.Namespace) -> None:
    book = Book(directory / "acknowledged.jsonl")
    service = MisbehavingKsn(_answers(book))
    await service.start()
    serving = Serving(directory, service.base_url, ports())
    serving.initialise()
    began, done = time.monotonic(), Counter[str]()
    try:
        await serving.start()
        await _take_part(serving)
        run = Run(await gather(serving, book), book)
        disk.begin(serving.state, book)
        for number in range(options.first, options.first + options.rounds):
            (directory / "round").write_text(str(number))
            kind = await _round(run, number, random.Random(f"{seed}/{number}"), options.only)
            done[kind] += 1
    finally:
        await serving.kill()
        await service.stop()
    rounds = ", ".join(f"{count} {kind}" for kind, count in done.items())
    heard = {"changes": len(book.changes), "events": sum(book.kept.values())}
    heard["orders about identity"] = sum(page.acknowledgements for page in book.pages.values())
    heard |= {"disclosures": len(book.disclosed), "answers": book.answers}
    unanswered = sum((page.unanswered for page in book.pages.values()), Counter[str]())
    heard |= {f"unanswered, {how}": count for how, count in unanswered.items()}
    heard_of = ", ".join(f"{count:,} {what}" for what, count in heard.items())
    seconds = time.monotonic() - began
    print(f"{sum(done.values())} rounds ({rounds}) in {seconds:.0f} s; heard: {heard_of}; all promises kept")


async def _round(run: Run, number: int, source: random.Random, only: str | None) -> str:
    kinds = list(KINDS)
    kind = only or source.choices(kinds, [KINDS[each][1] for each in kinds])[0]
    began = time.monotonic()
    killed = await KINDS[kind][0](run, source)
    print(f"round {number}: killed {killed}; looked at within {time.monotonic() - began:.1f} s", flush=True)
    return kind


async def _take_part(serving: Serving) -> None:
    """Have the guests' tenant take part in KSN, so that there is a ledger to lose."""
    words = (
        "policy",
        "create",
        "--ksn",
        "accept",
        "--statement",
        "1",
        "--socket",
        f"{serving.directory}/admin.sock",
    )
    ran = await asyncio.to_thread(commands.svm, *words)
    if ran.code:
        raise Broken(ran.err)


def _answers(book: Book) -> Fault:
    """What KSN says: it knows the red ones, and what it was asked is noted."""

    async def act(connection: Connection) -> None:
        asked = dict(connection.received.query).get("request", "").lower()
        if len(asked) != 64:
            await connection.reply(404, Connection="close")
            return
        book.disclosed.add(asked)
        if book.kinds.get(bytes.fromhex(asked)) is Kind.RED:
            await connection.reply(200, json.dumps(RED).encode(), Connection="close")
        else:
            await connection.reply(404, Connection="close")

    return act


def _leaves(error: Exception) -> list[Exception]:
    """The errors in a group of groups, and what led to each."""
    if isinstance(error, ExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, help="of the whole run; each round has one of its own by it")
    parser.add_argument("--first", type=int, default=1, help="the number of the first round")
    parser.add_argument("--only", choices=sorted(KINDS), help="rounds of this kind alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
