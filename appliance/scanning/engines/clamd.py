"""A ClamAV daemon beside the SVM, over its unix socket (https://docs.clamav.net/manual/Usage/Scanning.html#clamd).

`FILDES` hands clamd the descriptor, so the content is not copied; clamd unpacks by itself, within
the limits of its own configuration (MaxFileSize, MaxScanSize and others). Above them it answers "OK",
unless it is configured with `AlertExceedsMax yes`: docs/operations.md asks for it. One connection
per scan: clamd may restart or reload between any two, and a connection that is kept would be the one
that breaks. Its signatures are known by the version it names, which the front process asks for with
`clamd_version` and puts into the generation.
"""

import array
import socket
import time
from collections.abc import Callable
from pathlib import Path

from appliance.domain.outcome import Disposition, Unanswered
from appliance.domain.verdict import Detection
from appliance.scanning.engines.content import Content
from appliance.scanning.engines.engine import EngineFailure
from appliance.scanning.labels import printable, shortened, threat_name

NAME = "clamd"
MAX_REPLY_BYTES = 4096
MAX_VERSION_BYTES = 256
# What ClamAV only suspects carries one of these prefixes; everything else is a signature of malware.
SUSPICIOUS_PREFIXES = (b"PUA.", b"Heuristics.")
# Said where clamd is configured to (AlertExceedsMax, AlertEncrypted): it did not look, so no verdict.
NOT_LOOKED_AT = (
    (b"Heuristics.Limits.Exceeded", Unanswered.TOO_LARGE, "clamd's own limits are below the content's size"),
    (b"Heuristics.Encrypted", Unanswered.ENCRYPTED, "clamd met a part that is protected by a password"),
)

Clock = Callable[[], float]


def clamd_version(path: Path, timeout_seconds: float, clock: Clock = time.monotonic) -> str:
    """Return what clamd says of itself and its signatures: "ClamAV 1.4.3/27700/Mon Jul 14 08:35:11 2025".

    path: clamd's unix socket. Blocks for `timeout_seconds` at most. Raises EngineFailure.
    """
    reply = _ask(path, b"zVERSION\0", None, clock() + timeout_seconds, clock)
    if not reply.startswith(b"ClamAV "):
        raise EngineFailure(f"{path} answers {_quoted(reply)} to VERSION: give the socket of a clamd")
    return shortened(printable(reply), MAX_VERSION_BYTES)


class ClamdEngine:
    """Has clamd look at whole files."""

    name = NAME
    version = ""
    unpacks = True

    def __init__(self, path: Path, timeout_seconds: float, clock: Clock = time.monotonic) -> None:
        """Connect to nothing yet. path: clamd's unix socket; timeout_seconds: of one scan, in all."""
        self._path = path
        self._timeout = timeout_seconds
        self._clock = clock

    def scan(self, content: Content) -> list[Detection]:
        """Return the one thing that clamd names. Raises EngineFailure where it gives no verdict."""
        deadline = self._clock() + self._timeout
        try:
            reply = _ask(self._path, b"zFILDES\0", content.fd, deadline, self._clock)
        except _NoWord:
            # A clamd that stops or reloads closes what it has accepted; its successor may be there by now.
            reply = _ask(self._path, b"zFILDES\0", content.fd, deadline, self._clock)
        return _detections(reply)


class _NoWord(EngineFailure):
    """clamd closed the connection and had not said a word."""


def _detections(reply: bytes) -> list[Detection]:
    """Read "fd[10]: Name FOUND", "fd[10]: OK" or "fd[10]: sentence ERROR"."""
    _, _, said = reply.partition(b": ")
    if said == b"OK":
        return []
    if not said.endswith(b" FOUND"):
        raise EngineFailure(f"clamd answers {_quoted(reply)}")
    name = said.removesuffix(b" FOUND")
    for prefix, why, sentence in NOT_LOOKED_AT:
        if name.startswith(prefix):
            raise EngineFailure(f"{sentence} ({threat_name(name)})", why)
    suspicious = name.startswith(SUSPICIOUS_PREFIXES)
    disposition = Disposition.SUSPICIOUS if suspicious else Disposition.MALICIOUS
    return [Detection(threat_name(name), NAME, "", disposition)]


def _ask(path: Path, command: bytes, fd: int | None, deadline: float, clock: Clock) -> bytes:
    """Send `command`, and `fd` if there is one; return the reply without its final zero byte."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        try:
            _wait_until(connection, deadline, clock)
            connection.connect(str(path))
            connection.sendall(command)
            if fd is not None:
                passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
                connection.sendmsg([b"\0"], [passed])
        except (BrokenPipeError, ConnectionResetError):
            pass  # a clamd that refuses says why before it closes: read on
        except OSError as error:
            raise _failure(path, error) from error
        try:
            return _reply(connection, path, deadline, clock)
        except OSError as error:
            raise _failure(path, error) from error


def _reply(connection: socket.socket, path: Path, deadline: float, clock: Clock) -> bytes:
    reply = b""
    while not reply.endswith(b"\0"):
        _wait_until(connection, deadline, clock)
        try:
            piece = connection.recv(MAX_REPLY_BYTES)
        except ConnectionResetError:
            piece = b""
        if not piece:
            break
        reply += piece
        if len(reply) > MAX_REPLY_BYTES:
            raise EngineFailure(f"clamd at {path} answers more than {MAX_REPLY_BYTES} bytes")
    if not reply:
        raise _NoWord(f"clamd at {path} closed the connection without a word: see its log")
    return reply.rstrip(b"\0\n")


def _wait_until(connection: socket.socket, deadline: float, clock: Clock) -> None:
    left = deadline - clock()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def _failure(path: Path, error: OSError) -> EngineFailure:
    if isinstance(error, TimeoutError):
        return EngineFailure(
            f"clamd at {path} did not answer in time (engines.clamd.timeout_seconds)", Unanswered.TIMED_OUT
        )
    return EngineFailure(
        f"no clamd at {path} ({error.strerror or error}): start it, or set engines.clamd.socket"
    )


def _quoted(reply: bytes) -> str:
    return repr(shortened(printable(reply[:400]), 200))
