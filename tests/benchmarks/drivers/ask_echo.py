"""Times one message there and back on an open stream of the bare echo.

Settings: target, request_bytes. Question: {"count"}; answer: {"p50"} in seconds.
"""

import asyncio
import json
import sys
import time
from statistics import median
from typing import Any

import grpc

from tests.benchmarks.drivers import reply, settings
from tests.benchmarks.drivers.echo_server import METHOD


async def main() -> None:
    """Keep one stream open for all questions."""
    given = settings()
    message = bytes(given["request_bytes"])
    async with grpc.aio.insecure_channel(given["target"]) as channel:
        opened: Any = channel.stream_stream(METHOD, None, None)  # bytes go as they are
        stream = opened()
        await stream.write(message)
        await stream.read()
        reply({})
        while line := await asyncio.to_thread(sys.stdin.readline):
            times = []
            for _ in range(json.loads(line)["count"]):
                began = time.perf_counter()
                await stream.write(message)
                await stream.read()
                times.append(time.perf_counter() - began)
            reply({"p50": median(times)})
        stream.cancel()


if __name__ == "__main__":
    asyncio.run(main())
