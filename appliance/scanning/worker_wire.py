"""What the front and a worker process say to each other, over a socket that keeps message bounds.

    worker -> front   HELLO   once, at its start: the kernel tells the front who sent it
    front -> worker   Order   once: what to be, and how confined; with the bundle's descriptor
                      Job     one content: its descriptor and its label
    worker -> front   Started or Refused   once, in answer to the order
                      an answer to each job, in the jobs' order

A worker reads hostile bytes, so what it says is hostile too: everything is bounded and checked, and
what breaks the form raises Misbehaved. Texts are made printable whatever they hold.
"""

import json
import struct
import typing
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
MAX_JOB_BYTES: Final = 512
MAX_REPLY_BYTES: Final = 160 * 1024  # 16 detections whose every byte is escaped, and some
MAX_DETECTIONS: Final = 16
MAX_NAME_BYTES: Final = 255
MAX_REASON_BYTES: Final = 1024
_MAX_ENGINE_BYTES: Final = 64

_JOB: Final = struct.Struct(f"<QQ{DIGEST_BYTES}s")  # number, size, SHA-256; the name follows
_ANSWER: Final = struct.Struct("<BQ")  # kind, the job's number; for _FOUND, JSON follows
_NOTHING, _FOUND, _STARTED, _REFUSED = 1, 2, 3, 4
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


def encode_job(number: int, label: ContentLabel) -> bytes:
    """Return the message that goes with a content's descriptor. number: counts the jobs of the front."""
    return _JOB.pack(number, label.size, label.sha256) + label.name[:MAX_NAME_BYTES]


def decode_job(message: bytes) -> tuple[int, ContentLabel]:
    """Return the number and the label that the front wrote."""
    number, size, sha256 = _JOB.unpack_from(message)
    return number, ContentLabel(sha256, size, message[_JOB.size :])


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
    """Return the worker's answer to a job."""
    if not (answer.detections or answer.no_answer or answer.damaged):
        return _ANSWER.pack(_NOTHING, answer.number)
    body = {
        "detections": [
            [found.threat, found.engine, found.member, found.disposition]
            for found in answer.detections[:MAX_DETECTIONS]
        ],
        "no_answer": answer.no_answer
        and [answer.no_answer.why, printed(answer.no_answer.reason, MAX_REASON_BYTES)],
        "damaged": answer.damaged,
    }
    return _ANSWER.pack(_FOUND, answer.number) + json.dumps(body).encode()


def decode_answer(message: memoryview) -> JobAnswer:
    """Return the answer to a job, or raise Misbehaved."""
    if len(message) < _ANSWER.size:
        raise Misbehaved(f"answered a job with {len(message)} bytes")
    kind, number = _ANSWER.unpack_from(message)
    if kind == _NOTHING and len(message) == _ANSWER.size:
        return JobAnswer(number)
    if kind != _FOUND:
        raise Misbehaved(f"answered a job with a message of kind {kind}, {len(message)} bytes")
    body = parsed(bytes(message[_ANSWER.size :]))
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
