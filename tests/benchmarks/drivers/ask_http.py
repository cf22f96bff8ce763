"""Questions about digests over plain HTTP, on several connections, with next to nothing in the client.

Settings: port (of 127.0.0.1), digests (a file of 32-byte digests), key (of the API), connections.
Questions: {"seed", "count"}, answered {"seconds", "answered"}: how many got a 200; or {"body": true},
answered {"body"}: of the first digest's answer. Requests are made before the clock starts; each
connection has one open at a time.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.data import DIGEST_BYTES
from tests.benchmarks.drivers import reply, settings

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Asking(asyncio.Protocol):
    """One connection: sends the next request when an answer has come."""

    def __init__(self, requests: Iterator[bytes], keep: bool) -> None:
        """requests: shared by all connections. keep: the bodies."""
        self.answered = 0
        self.bodies: list[bytes] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._keep = keep
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """Take an answer, or a part of it."""
        self._got += data
        head, end, body = self._got.partition(_END)
        if not end:
            return
        where = head.lower().index(_LENGTH) + len(_LENGTH)
        if len(body) < int(head[where:].partition(b"\r\n")[0]):
            return
        self.answered += head.startswith(b"HTTP/1.1 200")
        if self._keep:
            self.bodies.append(body)
        self._got = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        """What is not answered now never is."""
        if not self.over.done():
            self.over.set_result(None)

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)


async def ask(
    port: int, requests: list[bytes], connections: int, keep: bool = False
) -> tuple[float, list[Asking]]:
    """Send all requests; the seconds that took, and the connections that were used."""
    left, loop = iter(requests), asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        (await loop.create_connection(lambda: Asking(left, keep), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(one.over for one in made))
    return time.perf_counter() - began, made


def request(digest: bytes, port: int, key: str) -> bytes:
    """Return the bytes of one question."""
    return (
        f"GET /api/v1/search/hash?request={digest.hex()} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\nx-api-key: {key}\r\nAccept: application/json\r\n\r\n"
    ).encode()


def answer(question: dict[str, Any], given: dict[str, Any], digests: bytes) -> dict[str, Any]:
    """Answer one line. digests: one after another."""
    port = given["port"]
    if "body" in question:
        first = request(digests[:DIGEST_BYTES], port, given["key"])
        _, (asking,) = asyncio.run(ask(port, [first], 1, keep=True))
        return {"body": asking.bodies[0].decode()}
    places = range(0, len(digests), DIGEST_BYTES)
    chosen = [
        digests[place : place + DIGEST_BYTES]
        for place in random.Random(question["seed"]).choices(places, k=question["count"])
    ]
    requests = [request(digest, port, given["key"]) for digest in chosen]
    seconds, made = asyncio.run(ask(port, requests, given["connections"]))
    return {"seconds": seconds, "answered": sum(one.answered for one in made)}


if __name__ == "__main__":
    handed = settings()
    of_file = Path(handed["digests"]).read_bytes()
    reply({})
    for line in sys.stdin:
        reply(answer(json.loads(line), handed, of_file))
