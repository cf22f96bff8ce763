"""The other side's servers, started for one row: redis-server and clamd."""

import os
import shutil
import socket
from pathlib import Path

from tests.benchmarks.harness import BenchError
from tests.benchmarks.processes import Service

CLAMD_THREADS = 4


def program(name: str) -> str:
    """Return the path of a server's program; Debian keeps some where users do not look."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise BenchError(f"{name} is not installed: `make bench` installs it, or `.ci/debian-packages`")
    return found


def answers(path: Path, question: bytes, reply: bytes) -> bool:
    """Whether a server on a unix socket gives `reply` to `question`."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5)
            connection.connect(str(path))
            connection.sendall(question)
            return connection.recv(len(reply)) == reply
    except OSError:
        return False


def redis_server(scratch: Path) -> tuple[Service, Path]:
    """Start a Redis that keeps everything in memory and writes nothing; return it and its socket."""
    path = scratch / "redis.sock"
    listen = ["--port", "0", "--unixsocket", str(path)]
    keep = ["--save", "", "--appendonly", "no", "--dir", str(scratch)]
    service = Service([program("redis-server"), *listen, *keep], scratch / "redis.log")
    service.wait_ready(lambda: answers(path, b"PING\r\n", b"+PONG\r\n"))
    return service, path


def clamd(scratch: Path, database: Path, cache_entries: int) -> tuple[Service, Path, Path]:
    """Start a clamd; return it, its socket and the configuration for clamdscan.

    cache_entries: how many clean files clamd remembers; its default is 65,536.
    """
    path, configuration = scratch / "clamd.sock", scratch / "clamd.conf"
    path.unlink(missing_ok=True)
    configuration.write_text(
        f"LocalSocket {path}\nLocalSocketMode 666\nDatabaseDirectory {database}\nForeground yes\n"
        f"MaxThreads {CLAMD_THREADS}\nCacheSize {cache_entries}\nSelfCheck 0\n"
        f"TemporaryDirectory {scratch}\nUser root\n"
    )
    service = Service([program("clamd"), "-c", str(configuration)], scratch / "clamd.log")
    service.wait_ready(lambda: answers(path, b"zPING\0", b"PONG\0"))
    return service, path, configuration
