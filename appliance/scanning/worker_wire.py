"""What the front and a worker process say to each other, over a socket that keeps message bounds.

    worker -> front   HELLO   once, at its start: the kernel tells the front who sent it
    front -> worker   Order   once: what to be, and how confined; with the bundle's descriptor
                      jobs    contents: their labels, with their descriptors in the same order
    worker -> front   Started or Refused   once, in answer to the order
                      answers, one or several in a message, in the jobs' order

A worker reads hostile bytes, so what it says is hostile too: everything is bounded and checked, and
what breaks the form raises Misbehaved. Texts are made printable whatever they hold.
"""

import json
import struct
import typing
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from appliance.config import EngineSettings, UnpackLimits
from appliance.domain.content import ContentLabel
from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.outcome import Disposition, Unanswered
from appliance.domain.verdict import MAX_MEMBER_BYTES, MAX_THREAT_BYTES, Detection, NoAnswer
from appliance.scanning.confinement import Confinement
from appliance.scanning.labels import printable, shortened

HELLO: Final = b"hello"
MAX_ORDER_BYTES: Final = 64 * 1024
MAX_JOBS: Final = 32  # of one message: a message costs both sides what scanning a small file costs
MAX_REPLY_BYTES: Final = 160 * 1024  # 16 detections whose every byte is escaped, and some
MAX_DETECTIONS: Final = 16
MAX_NAME_BYTES: Final = 255
MAX_REASON_BYTES: Final = 1024
_MAX_ENGINE_BYTES: Final = 64

_JOB: Final = struct.Struct(f"<QQ{DIGEST_BYTES}sB")  # number, size, SHA-256, bytes of the name that follows
_ANSWER: Final = struct.Struct("<BQI")  # kind, the job's number, bytes of JSON that follow (for _FOUND)
_NOTHING, _FOUND, _STARTED, _REFUSED = 1, 2, 3, 4
MAX_JOBS_BYTES: Final = MAX_JOBS * (_JOB.size + MAX_NAME_BYTES)
_T = TypeVar("_T")


class Misbehaved(Exception):
    """A worker said what no worker says. The message says what."""


class Role(StrEnum):
    """What a worker process is for."""

    BUILD = "build"  # read signature sources once, write the bundle to the descriptor, and end
    SCAN = "scan"  # load the bundle from the descriptor, look at contents until the front hangs up


@dataclass(frozen=True, slots=True)
class Order:
    """The first message to a worker."""

    role: Role
    engines: EngineSettings
    unpack: UnpackLimits
    confinement: Confinement

    def encode(self) -> bytes:
        """Return the message. Raises ValueError where the settings are too long for one."""
        message = json.dumps(asdict(self), default=str).encode()
        if len(message) > MAX_ORDER_BYTES:
            raise ValueError(
                f"the engines' settings take over {MAX_ORDER_BYTES} bytes: name fewer directories"
            )
        return message

    @classmethod
    def decode(cls, message: bytes) -> "Order":
        """Return the order that the front wrote."""
        return _revive(cls, json.loads(message))


@dataclass(frozen=True, slots=True)
class Started:
    """The worker has done its order, or is ready for jobs. filtered: system calls are filtered."""

    filtered: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The worker cannot do its order, and ends. why: a sentence."""

    why: str


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """What a worker says of one job. damaged: a container in it could not be read to its end."""

    number: int
    detections: tuple[Detection, ...] = ()
    no_answer: NoAnswer | None = None
    damaged: bool = False


def encode_jobs(jobs: Iterable[tuple[int, ContentLabel]]) -> bytes:
    """Return the message that goes with contents' descriptors, of MAX_JOBS at most, each under its number."""
    return b"".join(
        _JOB.pack(number, label.size, label.sha256, len(name)) + name
        for number, label in jobs
        for name in (label.name[:MAX_NAME_BYTES],)
    )


def decode_jobs(message: bytes) -> Iterator[tuple[int, ContentLabel]]:
    """Yield the numbers and the labels that the front wrote."""
    start = 0
    while start < len(message):
        number, size, sha256, length = _JOB.unpack_from(message, start)
        start += _JOB.size + length
        yield number, ContentLabel(sha256, size, message[start - length : start])


def encode_first(first: Started | Refused) -> bytes:
    """Return the worker's answer to its order."""
    if isinstance(first, Started):
        return bytes((_STARTED, first.filtered))
    return bytes((_REFUSED,)) + printed(first.why, MAX_REASON_BYTES).encode()


def decode_first(message: memoryview) -> Started | Refused:
    """Return the answer to the order, or raise Misbehaved."""
    kind = message[0]
    if kind == _STARTED and len(message) == 2:
        return Started(bool(message[1]))
    if kind == _REFUSED:
        return Refused(shortened(printable(bytes(message[1:])), MAX_REASON_BYTES))
    raise Misbehaved(f"answered its order with a message of kind {kind}, {len(message)} bytes")


def encode_answer(answer: JobAnswer) -> bytes:
    """Return the worker's answer to a job; a message is one of these, or several one after another."""
    if not (answer.detections or answer.no_answer or answer.damaged):
        return _ANSWER.pack(_NOTHING, answer.number, 0)
    body = json.dumps(
        {
            "detections": [
                [found.threat, found.engine, found.member, found.disposition]
                for found in answer.detections[:MAX_DETECTIONS]
            ],
            "no_answer": answer.no_answer
            and [answer.no_answer.why, printed(answer.no_answer.reason, MAX_REASON_BYTES)],
            "damaged": answer.damaged,
        }
    ).encode()
    return _ANSWER.pack(_FOUND, answer.number, len(body)) + body


def decode_answers(message: memoryview) -> Iterator[JobAnswer]:
    """Yield the answers to jobs that stand in a message, one at least, or raise Misbehaved."""
    while True:
        if len(message) < _ANSWER.size:
            raise Misbehaved(f"answered a job with {len(message)} bytes")
        kind, number, length = _ANSWER.unpack_from(message)
        end = _ANSWER.size + length
        if kind == _NOTHING and length == 0:
            yield JobAnswer(number)
        elif kind == _FOUND and length and len(message) >= end:
            yield _found(number, parsed(bytes(message[_ANSWER.size : end])))
        else:
            raise Misbehaved(f"answered a job with a message of kind {kind}, {len(message)} bytes")
        message = message[end:]
        if not message:
            return


def _found(number: int, body: dict[str, Any]) -> JobAnswer:
    """Return the answer that says more than "nothing", or raise Misbehaved."""
    damaged = body.get("damaged")
    if not isinstance(damaged, bool):
        raise Misbehaved("gave no word on damage")
    return JobAnswer(number, _detections(body.get("detections")), _no_answer(body.get("no_answer")), damaged)


def parsed(text: bytes) -> dict[str, Any]:
    """Return the JSON object that a worker wrote, or raise Misbehaved."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Misbehaved("wrote what is not JSON") from error
    if not isinstance(body, dict):
        raise Misbehaved("wrote JSON that is not an object")
    return body


def printed(text: object, limit: int) -> str:
    """Return a worker's text, printable and in at most `limit` bytes, or raise Misbehaved."""
    if not isinstance(text, str):
        raise Misbehaved(f"wrote {type(text).__name__} in the place of a text")
    return shortened(printable(text.encode("utf-8", "surrogatepass")), limit)


def _detections(items: object) -> tuple[Detection, ...]:
    if not isinstance(items, list) or len(items) > MAX_DETECTIONS:
        raise Misbehaved("wrote no list of detections, or an endless one")
    return tuple(_detection(item) for item in items)


def _detection(item: object) -> Detection:
    if not isinstance(item, list) or len(item) != 4 or item[3] not in (1, 2):
        raise Misbehaved("wrote a detection that is none")
    return Detection(
        printed(item[0], MAX_THREAT_BYTES),
        printed(item[1], _MAX_ENGINE_BYTES),
        printed(item[2], MAX_MEMBER_BYTES),
        Disposition(item[3]),
    )


def _no_answer(item: object) -> NoAnswer | None:
    if item is None:
        return None
    if not isinstance(item, list) or len(item) != 2 or item[0] not in tuple(Unanswered):
        raise Misbehaved("wrote a reason that is none")
    return NoAnswer(Unanswered(item[0]), printed(item[1], MAX_REASON_BYTES))


def _revive(kind: type[_T], value: Any) -> _T:
    """Return the dataclass (of dataclasses, paths, tuples of paths, plain values) that `value` was."""
    hints = typing.get_type_hints(kind)
    return kind(**{name: _revived(hints[name], each) for name, each in value.items()})


def _revived(hint: Any, value: Any) -> Any:
    if is_dataclass(hint):
        return _revive(typing.cast(type[Any], hint), value)
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_revived(item, each) for each in value)
    return hint(value) if hint in (Path, Role) else value
