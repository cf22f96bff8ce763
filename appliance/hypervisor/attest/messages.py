"""What is said on a machine's channel: one line of JSON each way. No I/O.

    machine: {"version": 1, "nonce": 32 hexadecimal digits, "key_sha256": 64 of them}
    host:    {"version": 1, "nonce", "token", "svm", "enrolment", "ca_fingerprint", "guest"}
    or:      {"version": 1, "nonce", "refused": a sentence, "retry_seconds": a number}

A machine says anything. The nonce tells it which answer is to what it has asked: an earlier one may still
lie in the channel.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

VERSION = 1
MAX_ASK_BYTES = 512

_NONCE = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"[0-9a-f]{64}")


class BadAsk(ValueError):
    """These bytes ask for nothing."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a machine asks for. key_sha256: of the public key that it will enrol with, 32 bytes."""

    nonce: str
    key_sha256: bytes


@dataclass(frozen=True, slots=True)
class Offer:
    """What a machine enrols with. svm, enrolment: HOST:PORT. fingerprint: of the authority, 32 bytes."""

    token: str
    guest: str
    svm: str
    enrolment: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a machine gets nothing now, in words that it may know, and when to ask again."""

    sentence: str
    retry_seconds: int


def parse(line: bytes) -> Ask:
    """What a line asks for. Raises BadAsk."""
    if len(line) > MAX_ASK_BYTES:
        raise BadAsk
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise BadAsk from problem
    if not isinstance(said, dict) or type(said.get("version")) is not int or said["version"] < VERSION:
        raise BadAsk
    nonce, key = said.get("nonce"), said.get("key_sha256")
    if not (isinstance(nonce, str) and _NONCE.fullmatch(nonce)):
        raise BadAsk
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise BadAsk
    return Ask(nonce, bytes.fromhex(key))


def answer(ask: Ask, given: Offer | Refusal) -> bytes:
    """The line that answers, also to a machine of a later version, which says what it knows."""
    said: dict[str, object] = {"version": VERSION, "nonce": ask.nonce}
    if isinstance(given, Refusal):
        said |= {"refused": given.sentence, "retry_seconds": given.retry_seconds}
    else:
        said |= {
            "token": given.token,
            "svm": given.svm,
            "enrolment": given.enrolment,
            "ca_fingerprint": given.fingerprint.hex(),
            "guest": given.guest,
        }
    return json.dumps(said).encode() + b"\n"
