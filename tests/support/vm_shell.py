"""A test's way into its virtual machine that needs no network: the other end of vm_agent.

The domain needs `CHANNEL`, with a path for the socket. The machine answers some seconds after it was started.
"""

import base64
import json
import secrets
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.vm_agent import PORT_NAME

CHANNEL = (
    "<channel type='unix'><source mode='bind' path='{path}'/>"
    f"<target type='virtio' name='{PORT_NAME}'/></channel>"
)
BOOT_SECONDS = 180.0  # emulated, beside others on a busy machine
_ASK_AGAIN = 2.0


class VmSilent(Exception):
    """The machine did not answer in time."""


@dataclass(frozen=True)
class Ran:
    """What a program in the machine did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class VmShell:
    """path: of the channel's socket, at most 107 bytes. One caller at a time."""

    path: Path

    def run(self, *words: str, seconds: float = 120.0, feed: bytes = b"") -> Ran:
        """Run a program as root. Raises VmSilent."""
        question = {
            "id": secrets.token_hex(8),
            "run": list(words),
            "input": base64.b64encode(feed).decode(),
            "seconds": seconds,
        }
        with self._connected(seconds) as port:
            port.sendall(b"\n" + json.dumps(question).encode() + b"\n")
            found = self._answer(port, str(question["id"]), time.monotonic() + seconds + 30.0)
        if found is None:
            raise VmSilent(f"{words} got no answer from the machine within {seconds + 30:g} s")
        out, err = (base64.b64decode(str(found[name])).decode(errors="replace") for name in ("out", "err"))
        return Ran(int(found["code"]), out, err)

    def ok(self, *words: str, seconds: float = 120.0, feed: bytes = b"") -> str:
        """Run a program that has to end with 0; what it printed."""
        ran = self.run(*words, seconds=seconds, feed=feed)
        assert ran.code == 0, f"{words} ended with {ran.code}: {ran.err}{ran.out}"
        return ran.out

    def write(self, path: str, content: bytes) -> None:
        """Write a file in the machine."""
        self.ok("/bin/sh", "-c", 'cat >"$1"', "sh", path, feed=content)

    def wait(self, seconds: float = BOOT_SECONDS) -> None:
        """Return when the machine answers; what is said before it is up is lost, so it is said again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            number = secrets.token_hex(8)
            ask = {"id": number, "run": ["/bin/true"], "seconds": 60}
            with self._connected(end - time.monotonic()) as port:
                port.sendall(b"\n" + json.dumps(ask).encode() + b"\n")
                if self._answer(port, number, min(end, time.monotonic() + _ASK_AGAIN)) is not None:
                    return
        raise VmSilent(f"the machine did not answer at {self.path} within {seconds:g} s")

    def _connected(self, seconds: float) -> socket.socket:
        end = time.monotonic() + seconds
        while True:
            port = socket.socket(socket.AF_UNIX)
            try:
                port.connect(str(self.path))
                return port
            except OSError:
                port.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def _answer(self, port: socket.socket, number: str, end: float) -> dict[str, str | int] | None:
        """The answer to one question; those to earlier ones, whose askers are gone, are passed over."""
        held = b""
        while (left := end - time.monotonic()) > 0:
            port.settimeout(left)
            try:
                came = port.recv(65536)
            except TimeoutError:
                return None
            if not came:
                time.sleep(0.1)
                return None
            held += came
            *lines, held = held.split(b"\n")
            for line in lines:
                try:
                    found: dict[str, str | int] = json.loads(line)
                except ValueError:
                    continue
                if found.get("id") == number:
                    return found
        return None


def run_all(shells: Sequence[VmShell], *words: str) -> list[str]:
    """Run a program that has to end with 0 in each machine, one after the other."""
    return [shell.ok(*words) for shell in shells]
