"""A bare grpc.aio server whose one bidi method sends back messages of a given size.

Settings: target ("unix:/path"), reply_bytes. No protobuf, no work: what is left is gRPC itself.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from tests.benchmarks.drivers import reply, settings

METHOD = "/bench.Echo/Talk"


async def main() -> None:
    """Serve until the input ends."""
    given = settings()
    answer = bytes(given["reply_bytes"])

    async def talk(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield answer

    handler = grpc.stream_stream_rpc_method_handler(talk)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Talk": handler}),))
    server.add_insecure_port(given["target"])
    await server.start()
    reply({})
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
