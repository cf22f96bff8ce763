"""A real clamd on signatures of one's own, and a socket that only knows its version."""

import asyncio
import hashlib
import os
import shutil
import signal
import socket
from pathlib import Path

from tests.support.scanning import until


class Clamd:
    """A clamd whose socket is in `run`, a directory of its own, and that detects `threats` by name.

    An async context: whatever was started in it has ended after it, so that no test leaves one behind.
    """

    def __init__(self, directory: Path, threats: dict[str, bytes]) -> None:
        """directory: where configuration, database and the socket's directory go."""
        self.run = directory / "run"
        self.socket = self.run / "clamd.ctl"
        self._config = directory / "clamd.conf"
        self._process: asyncio.subprocess.Process | None = None
        self._database = directory / "database"
        self._database.mkdir()
        (self._database / "own.hdb").write_text("".join(map(_line, threats, threats.values())))
        self._config.write_text(
            f"LocalSocket {self.socket}\nDatabaseDirectory {self._database}\nForeground yes\n"
        )

    async def __aenter__(self) -> "Clamd":
        """Not started yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return when it listens."""
        self.run.mkdir(exist_ok=True)
        program = shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program is not None, (
            "clamd is not installed: `make test` does it, or apt install clamav-daemon"
        )
        self._process = await asyncio.create_subprocess_exec(
            program,
            f"--config-file={self._config}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await until(self._listens, "clamd listens")

    def _listens(self) -> bool:
        """Whether a connection is taken: between bind and listen the socket exists and refuses."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            return connection.connect_ex(str(self.socket)) == 0

    def learn(self, name: str, data: bytes) -> None:
        """Add a signature, and have it read all of them anew; it takes a while and answers meanwhile."""
        with (self._database / "own.hdb").open("a") as database:
            database.write(_line(name, data))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(self.socket))
            connection.sendall(b"zRELOAD\0")
            assert connection.recv(100) == b"RELOADING\0"

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def stop(self) -> None:
        """End it, and take its directory away, as systemd does."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self._process = None
        # Kept under another name, so that its inode is not given to the next one.
        self.run.rename(self.run.with_name(f"run.{len(list(self.run.parent.iterdir()))}"))


def _line(name: str, data: bytes) -> str:
    return f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}:{len(data)}:{name}\n"


class VersionDaemon:
    """Answers VERSION as clamd does. version: b"" for one that takes connections and says nothing."""

    version = b"ClamAV 1.4.3/27700/Mon Jul 14 08:35:11 2025"

    def __init__(self, path: Path) -> None:
        """path: where it listens."""
        self.path = path
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._answer, self.path)

    async def stop(self) -> None:
        """Listen no more, and take the socket away."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.close()
        self.path.unlink()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        asked = await reader.read(100)
        if self.version and asked == b"zVERSION\0":
            writer.write(self.version + b"\0")
            writer.close()
