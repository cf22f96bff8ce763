"""Stands in for a reputation service in tests: speaks the OpenTIP dialect, and goes wrong as it is told to.

It is no service and knows nothing: it answers with what the test gives it, and its `Server` header says what
it is. Written on bare sockets, since an HTTP library would not break off in the middle.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

SERVER = "misbehaving-ksn (a stand-in for tests, no reputation service)"

RED = {
    "Zone": "Red",
    "FileGeneralInfo": {"FileStatus": "Malware", "Size": 68, "HitsCount": 1000},
    "DetectionsInfo": [{"Zone": "Red", "DetectionName": "EICAR-Test-File"}],
}


@dataclass(frozen=True)
class Received:
    """A request as it came in. headers: names in lower case."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes


Fault = Callable[["Connection"], Awaitable[None]]


@dataclass
class Connection:
    """One request and the way back."""

    received: Received
    writer: asyncio.StreamWriter
    ended: asyncio.Event

    async def reply(
        self, status: int, body: bytes = b"", content_type: str = "application/json", **more: str
    ) -> None:
        """Answer properly, with whatever headers."""
        await self.write(self.head(status, len(body), content_type, **more) + body)

    def head(self, status: int, length: int, content_type: str = "application/json", **more: str) -> bytes:
        """The lines in front of a body."""
        headers = {"Server": SERVER, "Content-Type": content_type, "Content-Length": str(length)}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode()

    async def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Close without another word."""
        self.writer.close()


def answers(document: object = RED, status: int = 200) -> Fault:
    """Answer with JSON."""
    return says(json.dumps(document).encode(), status)


def says(body: bytes, status: int = 200, content_type: str = "application/json", **more: str) -> Fault:
    """Answer with these bytes."""

    async def act(connection: Connection) -> None:
        await connection.reply(status, body, content_type, **more)

    return act


async def hangs(connection: Connection) -> None:
    """Take the request and say nothing until the service is closed."""
    await connection.ended.wait()


async def drips(connection: Connection) -> None:
    """Begin a proper answer and go on with a space at a time."""
    await connection.write(connection.head(200, 100_000))
    while not connection.ended.is_set():
        await connection.write(b" ")
        await asyncio.sleep(0.01)


async def breaks_off(connection: Connection) -> None:
    """Promise more than comes, and close."""
    body = json.dumps(RED).encode()
    await connection.write(connection.head(200, len(body)) + body[:20])
    connection.close()


async def hangs_up(connection: Connection) -> None:
    """Close without a word."""
    connection.close()


async def talks_nonsense(connection: Connection) -> None:
    """Send what is no HTTP."""
    await connection.write(b"220 smtp.example.com ESMTP\r\n")
    connection.close()


async def never_ends(connection: Connection) -> None:
    """Send a body without a length, for ever."""
    await connection.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
    while not connection.ended.is_set():
        await connection.write(b" " * 65536)


@dataclass
class MisbehavingKsn:
    """The stand-in. act: what it does to the next requests; a test changes it at any time.

    changes: the status with which it answers who asks for changes; it keeps no account of them.
    """

    act: Fault = field(default_factory=answers)
    received: list[Received] = field(default_factory=list)
    open: int = 0  # requests that it has not finished
    port: int = 0
    changes: int = 404

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port of this machine."""
        self._ended = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self._scheme = "https" if tls else "http"

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"{self._scheme}://127.0.0.1:{self.port}/api/v1/"

    async def stop(self) -> None:
        """Listen no more and end every connection."""
        self._server.close()
        self._ended.set()
        for handler in list(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while not writer.is_closing():
                received = await _read(reader)
                if received.path.endswith("/changes"):
                    none = b'{"sequence": 0, "more": false, "changes": []}'
                    await Connection(received, writer, self._ended).reply(self.changes, none)
                    continue
                self.received.append(received)
                self.open += 1
                try:
                    await self.act(Connection(received, writer, self._ended))
                finally:
                    self.open -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self._handlers.discard(task)
            writer.transport.abort() if self._ended.is_set() else writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.split("\r\n")
    method, target, _ = line.split(" ")
    headers = {}
    for header in filter(None, rest):
        name, _, value = header.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    query = parse_qsl(parts.query, keep_blank_values=True)
    return Received(method, parts.path, query, headers, body)
