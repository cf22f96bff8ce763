"""A real `svm host-port` at one end of a pseudo-terminal, and the host at the other."""

import os
import select
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


class PtyPort:
    """The host's end, as `virt.ports` gives it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.held = b""  # for who reads by lines

    def write(self, content: bytes) -> None:
        """Say something."""
        while content:
            content = content[os.write(self.fd, content) :]

    def read(self, seconds: float) -> bytes:
        """What came in that time."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        return os.read(self.fd, 65536) if ready else b""


@contextmanager
def pty_port() -> Iterator[tuple[PtyPort, str]]:
    """The host's end, and the path of the other."""
    host, machine = os.openpty()
    tty.setraw(machine)
    try:
        yield PtyPort(host), os.ttyname(machine)
    finally:
        os.close(host)
        os.close(machine)


@contextmanager
def host_port(socket: Path | str) -> Iterator[PtyPort]:
    """The host's end, with the program of an SVM at the other. socket: the SVM's, for administrators."""
    with pty_port() as (port, path):
        words = [sys.executable, "-m", "appliance", "host-port", path, "--socket", str(socket)]
        environ = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/protos"}
        with subprocess.Popen(words, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield port
            finally:
                process.kill()
