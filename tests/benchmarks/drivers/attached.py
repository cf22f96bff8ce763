"""A stub's process that is attached to its SVM and has nothing to do.

It imports what `guest-stub run` imports. Settings: target. Ends when its input ends.
"""

import guest_stub.__main__

# isort: split
import asyncio
import sys

import guest_stub.cli.run  # noqa: F401
from guest_stub.svm_link.link import SvmLink
from guest_stub.svm_link.values import HelloLabels
from tests.benchmarks.drivers import reply, settings


async def main() -> None:
    """Attach and wait."""
    async with await SvmLink.open(settings()["target"], HelloLabels("bench"), 30.0):
        reply({})
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
