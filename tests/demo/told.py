"""What each guest said, and the table of it."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.demo.progress import megabytes

VERDICTS = frozenset({"malicious", "suspicious", "clean", "not detected"})
FOUND = frozenset({"malicious", "suspicious"})
TURNED_AWAY = frozenset({"overloaded", "timed out"})  # the SVM's fault, not the content's
UNANSWERED = TURNED_AWAY | {"too large", "engine error", "encrypted"}


@dataclass(frozen=True, slots=True)
class Told:
    """What one guest said when its scan was over.

    files: that were asked about. at_once: answers out of the SVM's cache. later: answers after an
    upload, or after a wait for another guest's. turned_away: files that the SVM had no room or no
    time for. found, unanswered: paths. named: of those found, what by which engine.
    """

    name: str
    exit_code: int
    files: int
    file_bytes: int
    sent: int
    at_once: int
    later: int
    seconds: float
    turned_away: int
    found: frozenset[str]
    unanswered: frozenset[str]
    named: Mapping[str, tuple[str, str]]


def told(name: str, report: Sequence[dict[str, Any]]) -> Told:
    """A guest's report, which ends with its summary, as values."""
    *files, summary = report
    outcomes: dict[str, int] = summary["outcomes"]
    return Told(
        name=name,
        exit_code=summary["exit_code"],
        files=sum(count for outcome, count in outcomes.items() if outcome in VERDICTS | UNANSWERED),
        file_bytes=summary["bytes"],
        sent=summary["bytes_sent"],
        at_once=summary["answered_at_once"],
        later=summary["answered_later"],
        seconds=summary["seconds"],
        turned_away=sum(count for outcome, count in outcomes.items() if outcome in TURNED_AWAY),
        found=frozenset(_path(file) for file in files if file.get("outcome") in FOUND),
        unanswered=frozenset(_path(file) for file in files if file.get("outcome") in UNANSWERED),
        named={
            _path(file): (file.get("threat", ""), file.get("engine", ""))
            for file in files
            if file.get("outcome") in FOUND
        },
    )


def _path(file: dict[str, Any]) -> str:
    raw = file.get("path_b64")
    return os.fsdecode(base64.b64decode(raw)) if raw else str(file["path"])


def table(guests: Sequence[Told]) -> list[str]:
    """What each guest did, and all of them together."""
    head = ("", "files", "bytes", "uploaded", "from the cache", "after a scan", "seconds")
    rows = [_row(guest.name, [guest], f"{guest.seconds:.1f}") for guest in guests]
    return [_line(cells) for cells in (head, *rows, _row("in all", guests, ""))]


def _row(name: str, guests: Sequence[Told], seconds: str) -> tuple[str, ...]:
    return (
        name,
        f"{sum(guest.files for guest in guests):,}",
        megabytes(sum(guest.file_bytes for guest in guests)),
        megabytes(sum(guest.sent for guest in guests)),
        f"{sum(guest.at_once for guest in guests):,}",
        f"{sum(guest.later for guest in guests):,}",
        seconds,
    )


def _line(cells: Sequence[str]) -> str:
    name, *numbers = cells
    return f"  {name:<8}" + "".join(f"{number:>15}" for number in numbers)
