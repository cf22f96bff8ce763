"""Guests that connect, ask, and go again, several at a time.

Settings: target, at_once (up to eight: tickets of a process), digest (hexadecimal, of a known file).
Questions: {"times"}, answered {"done"} when so many have come and gone.
"""

import asyncio
import gc
import json
import sys
from collections.abc import Iterator

from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import Batch, FileContent, HelloLabels, Purpose
from tests.benchmarks.drivers import reply, settings

SECONDS = 60.0


def _no_content(index: int) -> FileContent:
    """Refuse: the digest that is asked here is known."""
    raise RuntimeError(f"the SVM asks for the content of a digest that it should know (index {index})")


async def come_and_go(target: str, digest: bytes) -> None:
    """Be a guest for a moment."""
    async with await SvmLink.open(target, HelloLabels("bench"), SECONDS) as link:
        await link.check(Batch([digest], Purpose.ON_ACCESS, SECONDS, _no_content))


async def lane(turns: Iterator[int], target: str, digest: bytes) -> int:
    """Be one guest after another, for as long as there are turns; how many that were."""
    done = 0
    for _ in turns:
        await come_and_go(target, digest)
        done += 1
    return done


async def main() -> None:
    """Answer until the input ends."""
    given = settings()
    digest = bytes.fromhex(given["digest"])
    reply({})
    while line := await asyncio.to_thread(sys.stdin.readline):
        turns = iter(range(json.loads(line)["times"]))
        lanes = (lane(turns, given["target"], digest) for _ in range(given["at_once"]))
        done = sum(await asyncio.gather(*lanes))
        gc.collect()  # channels that are closed keep their sockets until then
        reply({"done": done})


if __name__ == "__main__":
    asyncio.run(main())
