"""What this machine's host hands it to enrol with, on the port that it has plugged.

Nothing is typed, and the token is on no disk. What comes is the host's word, which is trusted as the
hardware is; but a host may be broken, of another version, or gone in the middle: what is read is bounded,
each wait has an end, and what is no answer is passed over. An answer counts by the nonce of its question:
an earlier one may lie there.
"""

import errno
import json
import os
import select
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guest_stub.identity.pinning import fingerprint_of
from guest_stub.identity.port import PORT_NAME, Ports
from guest_stub.svm_link.target import IdentityProblem, host_and_port

VERSION = 1
MAX_ANSWER_BYTES = 4096  # of one line
MAX_BYTES = 256 << 10  # of all that is read for one answer
MAX_TOKEN_BYTES, MAX_SENTENCE_BYTES = 128, 512
PAUSE_SECONDS = 0.2  # until it is looked again whether the host is there
LONGEST_RETRY_SECONDS = 3600.0

_FLAGS = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class NoOffer(IdentityProblem):
    """The host has handed out nothing; the message says why and what to do. retry_seconds: when to ask
    again."""

    def __init__(self, message: str, retry_seconds: float = PAUSE_SECONDS) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True)
class Offer:
    """What this machine enrols with. svm, enrolment: (host, port). fingerprint: of the authority, 32
    bytes."""

    token: str
    svm: tuple[str, int]
    enrolment: tuple[str, int]
    fingerprint: bytes


def ask(ports: Ports, key_sha256: bytes, seconds: float) -> Offer:
    """Ask the host for what a key is enrolled with, for so many seconds. Blocks. Raises NoOffer."""
    end = time.monotonic() + seconds
    while True:
        try:
            return _ask_once(ports, key_sha256, end)
        except NoOffer as problem:
            if time.monotonic() + problem.retry_seconds >= end:
                raise
            time.sleep(problem.retry_seconds)


def _ask_once(ports: Ports, key_sha256: bytes, end: float) -> Offer:
    device = ports.find()
    if device is None:
        raise NoOffer(
            f"this machine has no port {PORT_NAME}: have its host plug it (svm-host enrol), or enrol with a "
            "token (guest-stub enrol --svm HOST --token TOKEN --ca-fingerprint SHA256)"
        )
    try:
        fd = os.open(device, _FLAGS)
    except OSError as problem:
        raise NoOffer(_why_closed(device, problem)) from problem
    try:
        return _Asking(fd, key_sha256, end).offer()
    except OSError as problem:
        raise NoOffer(f"{device}: {problem.strerror}: has the host taken the port away?") from problem
    finally:
        os.close(fd)


def _why_closed(device: Path, problem: OSError) -> str:
    if problem.errno == errno.EBUSY:
        return f"{device}: another program speaks on it: is it another guest-stub that enrols?"
    if problem.errno in (errno.EACCES, errno.EPERM):
        return f"{device}: {problem.strerror}: the port is root's: run as root"
    return f"{device}: {problem.strerror}"


class _Asking:
    """One question on an open port."""

    def __init__(self, fd: int, key_sha256: bytes, end: float) -> None:
        self._fd = fd
        self._end = end
        self._nonce = os.urandom(16).hex()
        said = {"version": VERSION, "nonce": self._nonce, "key_sha256": key_sha256.hex()}
        # The first byte ends what another has begun.
        self._line = b"\n" + json.dumps(said).encode() + b"\n"
        self._poll = select.poll()
        self._read = 0
        self._held = b""

    def offer(self) -> Offer:
        """What is answered. Raises NoOffer, OSError."""
        while True:
            self._say()
            answered = self._answered()
            if answered is not None:
                return answered

    def _say(self) -> None:
        """Send the question as soon as a host is there."""
        left = self._line
        while left:
            self._wait(select.POLLOUT)
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                time.sleep(PAUSE_SECONDS)

    def _answered(self) -> Offer | None:
        """The answer; None where the host went away before it, and is to be asked anew."""
        while self._wait(select.POLLIN):
            try:
                data = os.read(self._fd, MAX_ANSWER_BYTES)
            except BlockingIOError:
                continue
            if not data:
                return None
            self._read += len(data)
            if self._read > MAX_BYTES:
                raise NoOffer("the host sends much, and none of it is an answer: is its svm-host older?")
            *lines, self._held = (self._held + data).split(b"\n")
            self._held = self._held[-MAX_ANSWER_BYTES:]
            for line in lines:
                if (said := _said(line, self._nonce)) is not None:
                    return _offer(said)
        return None

    def _wait(self, event: int) -> bool:
        """Wait until the port is ready for it; whether the host is there still. Raises NoOffer at the end."""
        self._poll.register(self._fd, event)
        while True:
            left = self._end - time.monotonic()
            if left <= 0:
                raise NoOffer(
                    "the host does not answer: is svm-host serve running there, and this machine one that it "
                    "enrols (enrolment of its settings), or was svm-host enrol run for it?"
                )
            for _, found in self._poll.poll(left * 1000):
                if found & event:
                    return True
                if event == select.POLLIN:
                    return False
                time.sleep(PAUSE_SECONDS)  # poll(2) returns at once while no host is there


def _said(line: bytes, nonce: str) -> dict[str, Any] | None:
    """The answer to a question, if a line is that."""
    if not line or len(line) > MAX_ANSWER_BYTES:
        return None
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and said.get("nonce") == nonce else None


def _offer(said: dict[str, Any]) -> Offer:
    """What an answer holds. Raises NoOffer."""
    if "refused" in said:
        sentence = str(said["refused"])[:MAX_SENTENCE_BYTES]
        raise NoOffer(f"the host refuses: {sentence}", _retry(said.get("retry_seconds")))
    try:
        if type(said["version"]) is not int or not isinstance(said["token"], str):
            raise ValueError("it has no token")
        if not (0 < len(said["token"]) <= MAX_TOKEN_BYTES and said["token"].isascii()):
            raise ValueError("its token is none")
        return Offer(
            said["token"],
            _place(said["svm"]),
            _place(said["enrolment"]),
            fingerprint_of(str(said["ca_fingerprint"])),
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise NoOffer(
            f"the host's answer is damaged ({type(problem).__name__}: {problem}): is its svm-host older?",
            LONGEST_RETRY_SECONDS,
        ) from problem


def _retry(said: object) -> float:
    if isinstance(said, int | float) and said >= 0:  # which what is no number is not
        return min(float(said), LONGEST_RETRY_SECONDS)
    return PAUSE_SECONDS


def _place(said: object) -> tuple[str, int]:
    """(host, port) of "host:port". Raises ValueError."""
    if not isinstance(said, str) or len(said) > 300 or not host_and_port(f"tcp:{said}"):
        raise ValueError(f"{str(said)[:80]!r} is no address")
    host, _, port = said.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536) or not host.isprintable():
        raise ValueError(f"{said[:80]!r} is no address")
    return host.removeprefix("[").removesuffix("]"), int(port)
