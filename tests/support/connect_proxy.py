"""A small HTTP proxy for tests: it tunnels (CONNECT) to where it is asked to, and keeps what it was told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class ConnectProxy:
    """The proxy. status: what it answers with; it tunnels on 200 only. heads: what it was told."""

    status: int = 200
    heads: list[str] = field(default_factory=list)
    port: int = 0
    _handlers: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens, with the password that it is to be told."""
        return f"http://svm:secret@127.0.0.1:{self.port}"

    def headers(self, which: int = -1) -> dict[str, str]:
        """The headers of a request, names in lower case."""
        lines = self.heads[which].split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request, and tunnel until one side closes."""
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            writer.write(f"HTTP/1.1 {self.status} Said\r\n\r\n".encode())
            host, _, port = head.split(" ")[1].rpartition(":")
            if self.status == 200 and head.startswith("CONNECT "):
                await _tunnel(reader, writer, *await asyncio.open_connection(host, int(port)))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, nobody is there, or the test is over
        finally:
            self._handlers.discard(task)
            writer.close()

    async def end(self) -> None:
        """End every tunnel."""
        for handler in list(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)


@asynccontextmanager
async def connect_proxy(status: int = 200) -> AsyncIterator[ConnectProxy]:
    """One that listens. status: what it answers with."""
    proxy = ConnectProxy(status)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()


async def _tunnel(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
