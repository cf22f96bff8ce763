"""The lines of the outbox: one JSON object each, that a person can read and a damaged one cannot harm.

{"journal": hexadecimal}: what comes after it is of this journal. {"number", "kind", "at", ...}: an event;
what is empty is left out. {"kept": number, "journal": hexadecimal}: the SVM has it up to this number.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from guest_stub.svm_link.values import (
    JOURNAL_BYTES,
    MAX_PATH_BYTES,
    MAX_TEXT_BYTES,
    EventKind,
    GuestEvent,
    cut,
)

_DIGEST_BYTES: Final = 32
_MOST_COUNT: Final = (1 << 32) - 1
_MOST_NUMBER: Final = (1 << 64) - 1
_END_OF_TIME: Final = 253_402_300_800.0  # of the wire's timestamps, in seconds since the epoch


class Waiting(NamedTuple):
    """An event that waits. number: of its journal, from 1, rising. line: as it is on the disk."""

    journal: bytes
    number: int
    line: bytes


def within_bounds(event: GuestEvent) -> GuestEvent:
    """The event as every SVM takes it: nothing of it breaks a rule of the wire."""
    return replace(
        event,
        at=event.at if math.isfinite(event.at) and 0 <= event.at < _END_OF_TIME else 0.0,
        sha256=event.sha256 if len(event.sha256) == _DIGEST_BYTES else b"",
        path=event.path[:MAX_PATH_BYTES],
        process=cut(event.process),
        threat=cut(event.threat),
        action=cut(event.action),
        text=cut(event.text, MAX_TEXT_BYTES),
        count=min(max(event.count, 0), _MOST_COUNT),
    )


def line_of(event: GuestEvent) -> bytes:
    """An event within the bounds as a line."""
    fields = {
        "number": event.number,
        "kind": int(event.kind),
        "at": event.at,
        "sha256": event.sha256.hex(),
        "path": event.path.decode("utf-8", "surrogateescape"),
        "process": event.process,
        "threat": event.threat,
        "action": event.action,
        "text": event.text,
        "count": event.count,
    }
    return _line({name: value for name, value in fields.items() if value})


def event_of(line: bytes) -> GuestEvent | None:
    """The event of a line, within the bounds; None for any other line."""
    return _event(_fields(line))


def written(waiting: Iterable[Waiting], journal: bytes) -> Iterator[bytes]:
    """Events as the file has them. journal: what the lines before them are of, b"" for none."""
    for each in waiting:
        if each.journal != journal:
            journal = each.journal
            yield _line({"journal": journal.hex()})
        yield each.line


def kept_line(journal: bytes, up_to: int) -> bytes:
    """What says that events are kept."""
    return _line({"kept": up_to, "journal": journal.hex()})


def read(left: bytes) -> list[Waiting]:
    """The events that wait, of all that a file has. Lines of no sense are passed over, the last one too
    where it has no end, and so are numbers that do not rise.
    """
    waiting: list[Waiting] = []
    kept: dict[bytes, int] = {}
    last: dict[bytes, int] = {}
    journal = b""
    for line in left.split(b"\n")[:-1]:
        fields = _fields(line)
        if "kept" in fields:
            named, up_to = _journal(fields.get("journal")), fields["kept"]
            if type(up_to) is int:
                kept[named] = max(up_to, kept.get(named, 0))
        elif "journal" in fields:
            journal = _journal(fields["journal"])
        elif journal and (event := _event(fields)) is not None and event.number > last.get(journal, 0):
            last[journal] = event.number
            waiting.append(Waiting(journal, event.number, line + b"\n"))
    return [each for each in waiting if each.number > kept.get(each.journal, 0)]


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _journal(text: Any) -> bytes:
    try:
        journal = bytes.fromhex(text)
    except (ValueError, TypeError):
        return b""
    return journal if len(journal) == JOURNAL_BYTES else b""


def _event(fields: dict[str, Any]) -> GuestEvent | None:
    try:
        number = fields["number"]
        if type(number) is not int or not 0 < number <= _MOST_NUMBER:
            return None
        words = {name: str(fields.get(name, "")) for name in ("process", "threat", "action", "text")}
        return within_bounds(
            GuestEvent(
                number,
                EventKind(fields["kind"]),
                float(fields["at"]) if "at" in fields else 0.0,
                bytes.fromhex(fields.get("sha256", "")),
                fields.get("path", "").encode("utf-8", "surrogateescape"),
                count=int(fields.get("count", 0)),
                **words,
            )
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
