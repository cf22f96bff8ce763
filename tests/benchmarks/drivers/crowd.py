"""Well-behaved guests, up to eight in one process: each asks about a known file now and then.

Settings: target, digests (a file of 32-byte digests, all known to the SVM), guests, per_second (questions of
one guest), and over TLS identities (a file of `enrolled`) and first (which of them is this process's first
guest). Questions: {"seed", "seconds"}, answered {"waited"}: seconds of each answer, those of the first
second left out.
"""

import asyncio
import json
import random
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.target import Proof, Svm, Target
from guest_stub.svm_link.values import Batch, FileContent, HelloLabels, Purpose
from tests.benchmarks.data import split_digests
from tests.benchmarks.drivers import reply, settings
from tests.benchmarks.enrolled import proofs

OPEN_SECONDS = 60.0
BUDGET_SECONDS = 60.0
NOT_DETECTED = 4
FIRST_SECONDS = 1.0  # in which everybody finds his pace


def _no_content(index: int) -> FileContent:
    """Refuse: every digest that is asked here is known."""
    raise RuntimeError(f"the SVM asks for the content of a digest that it should know (index {index})")


async def guest(link: SvmLink, digests: list[bytes], seconds: float, per_second: float) -> list[float]:
    """Ask one digest after another at random times; a late answer delays no later question's time."""
    source, loop = random.Random(digests[0]), asyncio.get_running_loop()
    begin = due = loop.time()
    waited = []
    for digest in digests:
        due += source.expovariate(per_second)
        if due > begin + seconds:
            break
        await asyncio.sleep(max(0.0, due - loop.time()))
        began = time.perf_counter()
        question = await link.check(Batch([digest], Purpose.ON_ACCESS, BUDGET_SECONDS, _no_content))
        if question.outcomes[0] != NOT_DETECTED:
            raise RuntimeError(f"the SVM answers {question.outcomes[0]} about a digest that it should know")
        if due > begin + FIRST_SECONDS:
            waited.append(time.perf_counter() - began)
    return waited


def targets(given: dict[str, Any]) -> list[Target]:
    """The SVM, once for each guest: over TLS each proves who it is."""
    if "identities" not in given:
        return [given["target"]] * given["guests"]
    own = proofs(given["identities"])[given["first"] :][: given["guests"]]
    return [Svm(given["target"], partial(_itself, proof)) for proof in own]


def _itself(proof: Proof) -> Proof:
    return proof


async def main(given: dict[str, Any], digests: list[bytes]) -> None:
    """Keep the links for all questions."""
    async with AsyncExitStack() as stack:
        links = [
            await stack.enter_async_context(await SvmLink.open(target, HelloLabels("bench"), OPEN_SECONDS))
            for target in targets(given)
        ]
        reply({})
        while line := await asyncio.to_thread(sys.stdin.readline):
            question = json.loads(line)
            source, most = (
                random.Random(question["seed"]),
                int(2 * question["seconds"] * given["per_second"]) + 20,
            )
            asked = [source.choices(digests, k=most) for _ in links]
            each = await asyncio.gather(
                *(
                    guest(link, mine, question["seconds"], given["per_second"])
                    for link, mine in zip(links, asked, strict=True)
                )
            )
            reply({"waited": [seconds for mine in each for seconds in mine]})


if __name__ == "__main__":
    handed = settings()
    asyncio.run(main(handed, split_digests(Path(handed["digests"]).read_bytes())))
