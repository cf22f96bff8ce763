"""Stubs' links that are attached from one process, each a guest of its own: when each hears of a revocation.

Settings: target, links (eight at the most, as a process may have). Questions: {"ask": content in
hexadecimal}, which every link asks about, and hands over where that is wanted, answered {"outcomes"}; then
{"heard": a digest in hexadecimal}, answered {"at"}: seconds of the machine's monotonic clock at which each
link heard that the digest is revoked. Ends when its input ends.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import Batch, FileContent, HelloLabels, Purpose, ScanSlot, ScanTask
from tests.benchmarks.drivers import reply, settings

SECONDS = 60.0


class Told:
    """A LinkListener. at: when each digest was revoked."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.at: dict[bytes, float] = {}
        self._news = asyncio.Event()

    def revoked(self, digests: list[bytes]) -> None:
        """Note the time."""
        now = time.monotonic()
        for digest in digests:
            self.at.setdefault(digest, now)
        self._news.set()

    async def heard(self, digest: bytes) -> float:
        """When a digest was revoked, once it is."""
        while digest not in self.at:
            self._news.clear()
            await self._news.wait()
        return self.at[digest]

    def generation_changed(self, generation: int) -> None:
        """Nothing to do."""

    def events_kept(self, journal: bytes, up_to: int) -> None:
        """Nothing to do."""

    def scan_told(self, told: ScanTask | ScanSlot) -> None:
        """Nothing to do."""

    def lost(self, why: str) -> None:
        """It shows as an answer that stays out."""


async def asked(link: SvmLink, content: bytes) -> int:
    """The outcome of a content."""

    def opened() -> int:
        fd = os.memfd_create("content")
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    digest = hashlib.sha256(content).digest()
    file = FileContent(len(content), b"", opened)
    question = await link.check(Batch([digest], Purpose.ON_ACCESS, SECONDS, lambda _: file))
    outcome = question.outcomes[0]
    async for ended in question.settled():
        for _, answer in ended:
            outcome = answer.outcome
    return int(outcome)


async def main() -> None:
    """Attach, and answer until the input ends."""
    given = settings()
    told = [Told() for _ in range(given["links"])]
    async with AsyncExitStack() as stack:
        links = [
            await stack.enter_async_context(
                await SvmLink.open(given["target"], HelloLabels("bench"), SECONDS, listener)
            )
            for listener in told
        ]
        reply({})
        while line := await asyncio.to_thread(sys.stdin.readline):
            question: dict[str, Any] = json.loads(line)
            async with asyncio.timeout(SECONDS):
                if "ask" in question:
                    content = bytes.fromhex(question["ask"])
                    reply({"outcomes": [await asked(link, content) for link in links]})
                else:
                    digest = bytes.fromhex(question["heard"])
                    reply({"at": [await each.heard(digest) for each in told]})


if __name__ == "__main__":
    asyncio.run(main())
