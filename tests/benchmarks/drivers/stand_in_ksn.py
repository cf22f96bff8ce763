"""A reputation service that knows nothing; the stand-in of the tests, in a process of its own.

Settings: state, one of "healthy", "slow", "hanging" and "dead". Says {"base_url"}; ends when its input ends.
"""

import asyncio
import sys

from tests.benchmarks.drivers import reply, settings
from tests.support.misbehaving_ksn import Connection, MisbehavingKsn, answers, hangs

SLOW_SECONDS = 2.0
_not_known = answers({}, 404)


async def _slowly(connection: Connection) -> None:
    """Say that nothing is known, late."""
    await asyncio.sleep(SLOW_SECONDS)
    await _not_known(connection)


ACTS = {"healthy": _not_known, "slow": _slowly, "hanging": hangs, "dead": _not_known}


async def main() -> None:
    """Serve, or have served, until the input ends."""
    state = settings()["state"]
    service = MisbehavingKsn(ACTS[state])
    await service.start()
    if state == "dead":
        await service.stop()
    reply({"base_url": service.base_url})
    await asyncio.to_thread(sys.stdin.read)
    if state != "dead":
        await service.stop()


if __name__ == "__main__":
    asyncio.run(main())
