"""Known digests through guest_stub.svm_link, from one guest process.

Settings: target, digests (a file of 32-byte digests, all known to the SVM), batch, in_flight. Questions:
{"seed", "batches"}, answered {"seconds", "found"}, or {"seed", "singles"}, answered {"p50"} in seconds.
The digests of a round are chosen before its clock starts.
"""

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import Batch, FileContent, HelloLabels, Purpose
from tests.benchmarks.data import split_digests
from tests.benchmarks.drivers import reply, settings

OPEN_SECONDS = 30.0
BUDGET_SECONDS = 60.0
NOT_DETECTED = 4


def _no_content(index: int) -> FileContent:
    """Refuse: every digest that is asked here is known."""
    raise RuntimeError(f"the SVM asks for the content of a digest that it should know (index {index})")


def _batch(digests: list[bytes]) -> Batch:
    """Return the question about some digests."""
    return Batch(digests, Purpose.ON_DEMAND, BUDGET_SECONDS, _no_content)


async def many(link: SvmLink, batches: list[list[bytes]], in_flight: int) -> dict[str, Any]:
    """Ask all batches, `in_flight` at a time; a batch is one reply, all of it known."""
    left = iter(batches)
    found = 0

    async def lane() -> None:
        nonlocal found
        for digests in left:
            question = await link.check(_batch(digests))
            found += question.outcomes.count(NOT_DETECTED)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        lanes = [group.create_task(lane()) for _ in range(in_flight)]
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "found": found, "lanes": len(lanes)}


async def singles(link: SvmLink, digests: list[bytes]) -> dict[str, Any]:
    """Ask one digest after another."""
    times, found = [], 0
    for digest in digests:
        began = time.perf_counter()
        question = await link.check(_batch([digest]))
        times.append(time.perf_counter() - began)
        found += question.outcomes.count(NOT_DETECTED)
    return {"p50": median(times), "found": found}


async def main(given: dict[str, Any], digests: list[bytes]) -> None:
    """Keep one link for all questions."""
    async with await SvmLink.open(given["target"], HelloLabels("bench"), OPEN_SECONDS) as link:
        reply({})
        while line := await asyncio.to_thread(sys.stdin.readline):
            question = json.loads(line)
            source = random.Random(question["seed"])
            if "singles" in question:
                reply(await singles(link, source.choices(digests, k=question["singles"])))
                continue
            batches = [source.choices(digests, k=given["batch"]) for _ in range(question["batches"])]
            reply(await many(link, batches, given["in_flight"]))


if __name__ == "__main__":
    handed = settings()
    asyncio.run(main(handed, split_digests(Path(handed["digests"]).read_bytes())))
