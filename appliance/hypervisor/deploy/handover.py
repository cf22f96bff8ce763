"""The certificates out of a new SVM: asked for by its port, which nobody but this host can speak through.

The keys are made here and stay here; the SVM's authority is made in the SVM and stays there. What crosses the
port are requests, certificates, and the authority's certificate, which is believed because of the way that it
came (decisions/0041). The SVM is not trusted with more than that: what it says is bounded and looked at.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from appliance.domain.caller import Role
from appliance.durable import write_whole
from appliance.identity.inspection import Inspected, inspect_holder
from appliance.identity.keys import csr_for, key_pem, new_key

VERSION = 1
MAX_LINE_BYTES = 64 * 1024
MAX_PASSED_OVER = 256 * 1024  # of what the SVM says that is no answer

# What an SVM that boots, or never does, has not read lies in libvirt. Asked every five seconds, that was full
# after some four minutes (46 questions about two certificates), and then libvirt reads nothing more of this
# connection, not even that the port is to be closed. So the pauses grow, up to a part of all the time.
_FIRST_PAUSE_SECONDS = 5.0
_MOST_PAUSES = 30


class HandoverError(Exception):
    """There are no certificates; the message says why and what to do."""


class Port(Protocol):
    """The host's end of it."""

    def write(self, content: bytes) -> None:
        """Say something."""

    def read(self, seconds: float) -> bytes:
        """What came, b"" for nothing in that time. Raises EOFError where it is closed."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who gets a certificate, and the directory for it: ca.pem, administrator.pem and administrator.key."""

    role: Role
    name: str
    directory: Path


def hand_over(
    opened: Callable[[], AbstractContextManager[Port]],
    holders: Sequence[Holder],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Have certificates issued, and put them where they belong. Raises HandoverError, VirtError, OSError."""
    keys = [new_key() for _ in holders]
    number = secrets.token_hex(16)
    issue = [
        {"role": str(holder.role), "name": holder.name, "csr": base64.b64encode(csr_for(key)).decode()}
        for holder, key in zip(holders, keys, strict=True)
    ]
    question = json.dumps({"version": VERSION, "id": number, "issue": issue})
    answer = _answer(opened, question.encode(), number, clock() + seconds, clock)
    authority, certificates = _checked(answer, len(holders))
    for holder, key, certificate in zip(holders, keys, certificates, strict=True):
        _put(holder.directory, authority, certificate, key_pem(key))


def _answer(
    opened: Callable[[], AbstractContextManager[Port]],
    question: bytes,
    number: str,
    end: float,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Ask until there is an answer: an SVM that boots takes nothing yet, or loses it."""
    with opened() as port:
        lines = _lines(port, end, clock)
        pause, again = _FIRST_PAUSE_SECONDS, clock()
        longest = max(pause, (end - again) / _MOST_PAUSES)
        while clock() < end:
            if clock() >= again:
                port.write(b"\n" + question + b"\n")
                again, pause = clock() + pause, min(2 * pause, longest)
            line = next(lines, None)
            answer = _read(line) if line else None
            if answer is not None and answer.get("id") == number:
                return answer
    raise HandoverError(
        "the SVM did not answer at its port: it has not booted, or its image has no `svm host-port`"
    )


def _lines(port: Port, end: float, clock: Callable[[], float]) -> Iterator[bytes]:
    """What came, by lines; b"" now and then where nothing comes. Raises HandoverError for too much of it."""
    held, passed = b"", 0
    while clock() < end:
        try:
            held += port.read(min(1.0, max(0.0, end - clock())))
        except EOFError:
            raise HandoverError(
                "the SVM's port was closed: it was stopped, or somebody else took it"
            ) from None
        *whole, held = held.split(b"\n")
        passed += sum(map(len, whole))
        if len(held) > MAX_LINE_BYTES or passed > MAX_PASSED_OVER:
            raise HandoverError("the SVM says too much at its port: its image is not one of ours")
        yield from whole
        yield b""


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "issue" not in found else None


def _checked(answer: dict[str, Any], count: int) -> tuple[bytes, list[bytes]]:
    """The authority's certificate and the others, as PEM. Raises HandoverError."""
    if "error" in answer:
        said = "".join(letter if letter.isprintable() else "?" for letter in str(answer["error"])[:500])
        raise HandoverError(f"the SVM issues no certificates: {said}")
    authority, certificates = answer.get("authority"), answer.get("certificates")
    if (
        not isinstance(authority, str)
        or not isinstance(certificates, list)
        or len(certificates) != count
        or not all(isinstance(each, str) for each in certificates)
    ):
        raise HandoverError("what the SVM says at its port is no answer: its image is of another version")
    return authority.encode(), [each.encode() for each in certificates]


def _put(directory: Path, authority: bytes, certificate: bytes, key: bytes) -> None:
    """Each file in one step; killed between them they do not belong together, and are asked for again."""
    found: Inspected = inspect_holder(authority, certificate, key)
    if found.problems:
        raise HandoverError(f"what the SVM issued cannot be used: {'; '.join(found.problems)}")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in (
        ("administrator.key", key),
        ("administrator.pem", certificate),
        ("ca.pem", authority),
    ):
        write_whole(directory / name, content)
