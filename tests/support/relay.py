"""The network between a guest and its SVM, for tests: slow, or cut without a word to anybody."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Relay:
    """Passes bytes on, both ways. delay: seconds that each piece takes. cut: whatever comes is lost."""

    port: int
    delay: float = 0.0
    cut: bool = False
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def target(self) -> str:
        """What the guest connects to."""
        return f"tcp:127.0.0.1:{self.port}"

    def mend(self) -> None:
        """Pass on what comes from now on; streams of which something was lost are of no use any more."""
        self.cut = False
        for writer in self._writers:
            writer.close()

    async def serve(self, svm: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection."""
        there, back = await asyncio.open_connection("127.0.0.1", svm)
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.get_running_loop().create_task(self._pass_on(source, sink))
            self._tasks.add(task)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                await asyncio.sleep(self.delay)
                if not self.cut:
                    sink.write(data)
                    await sink.drain()
        sink.close()

    async def close(self) -> None:
        """Cut everything."""
        for writer in self._writers:
            writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def relay(svm: int) -> AsyncIterator[Relay]:
    """A relay to a port of this machine."""
    made = Relay(0)
    server = await asyncio.start_server(
        lambda reader, writer: made.serve(svm, reader, writer), "127.0.0.1", 0
    )
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
