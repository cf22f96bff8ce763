"""A bare aiohttp handler that always returns the same JSON and looks at nothing.

Settings: body. Says {"port"} of 127.0.0.1; ends when its input ends.
"""

import asyncio
import sys

from aiohttp import web

from tests.benchmarks.drivers import reply, settings


async def main() -> None:
    """Serve until the input ends."""
    body = settings()["body"].encode()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/api/v1/search/hash", answer)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reply({"port": runner.addresses[0][1]})
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
