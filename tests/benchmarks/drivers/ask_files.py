"""Files through guest_stub.svm_link, from one guest process, each to its end.

Settings: target, and digests (a file of 32-byte digests) where such are asked for. Questions: {"first",
"count", "batch", "in_flight"}, digests of that file which the SVM need not ask contents for, answered
{"seconds", "malicious"}; or {"new", "in_flight"}, as many small files that nobody has seen, answered
{"p99"}: seconds from a file's Check to the word that its content is needed. Its upload and scan are
waited for, too.
"""

import asyncio
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from guest_stub.outcome import Outcome
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import Batch, FileContent, HelloLabels, Purpose
from tests.benchmarks.data import split_digests
from tests.benchmarks.drivers import reply, settings

OPEN_SECONDS = 30.0
BUDGET_SECONDS = 120.0
FILE_BYTES = 64


async def ends(
    link: SvmLink, digests: list[bytes], content: Callable[[int], FileContent]
) -> list[Outcome | int]:
    """Ask about a batch and return how each digest ended."""
    question = await link.check(Batch(digests, Purpose.ON_DEMAND, BUDGET_SECONDS, content))
    found: list[Outcome | int] = list(question.outcomes)
    async for ended in question.settled():
        for index, answer in ended:
            found[index] = answer.outcome
    return found


async def known(link: SvmLink, digests: list[bytes], batch: int, in_flight: int) -> dict[str, Any]:
    """Ask about digests of which contents are not at hand."""

    def no_content(index: int) -> FileContent:
        raise RuntimeError(f"the SVM asks for the content of a digest that KSN should know (index {index})")

    batches = iter([digests[first : first + batch] for first in range(0, len(digests), batch)])
    malicious = 0

    async def lane() -> None:
        nonlocal malicious
        for part in batches:
            found = await ends(link, part, no_content)
            malicious += found.count(Outcome.MALICIOUS)

    began = time.perf_counter()
    await lanes(lane, in_flight)
    return {"seconds": time.perf_counter() - began, "malicious": malicious}


async def unseen(link: SvmLink, count: int, in_flight: int) -> dict[str, Any]:
    """Ask about new files, and send each when it is asked for."""
    contents: Iterator[bytes] = iter([secrets.token_bytes(FILE_BYTES) for _ in range(count)])
    waits: list[float] = []

    async def lane() -> None:
        for content in contents:
            asked = [0.0]

            def needed(_index: int, content: bytes = content, asked: list[float] = asked) -> FileContent:
                asked[0] = time.perf_counter()
                return FileContent(len(content), b"file", lambda: file_of(content))

            digest = hashlib.sha256(content).digest()
            began = time.perf_counter()
            ended = await ends(link, [digest], needed)
            if ended != [Outcome.NOT_DETECTED]:
                raise RuntimeError(f"a new file ended as {ended}")
            waits.append(asked[0] - began)

    await lanes(lane, in_flight)
    return {"p99": sorted(waits)[min(int(0.99 * count), count - 1)]}


async def lanes(lane: Callable[[], Any], count: int) -> None:
    """Run so many at a time, to their end."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(lane()) for _ in range(count)]
    del running


def file_of(content: bytes) -> int:
    """Return a descriptor of a file in memory."""
    descriptor = os.memfd_create("bench")
    os.pwrite(descriptor, content, 0)
    return descriptor


async def main(given: dict[str, Any], digests: list[bytes]) -> None:
    """Keep one link for all questions."""
    async with await SvmLink.open(given["target"], HelloLabels("bench"), OPEN_SECONDS) as link:
        reply({})
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            if "new" in asked:
                reply(await unseen(link, asked["new"], asked["in_flight"]))
                continue
            chosen = digests[asked["first"] : asked["first"] + asked["count"]]
            reply(await known(link, chosen, asked["batch"], asked["in_flight"]))


if __name__ == "__main__":
    handed = settings()
    stored = split_digests(Path(handed["digests"]).read_bytes()) if "digests" in handed else []
    asyncio.run(main(handed, stored))
