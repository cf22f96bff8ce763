"""Usage statistics that SVMs send: checked, and appended to a file within a budget.

A body is one JSON object of figures: at most MAX_FIGURES names of letters, digits, "_" and "." to whole
numbers, numbers, true, false or short texts. A line of the file is {"at", "by", "figures"}.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

FILE = "statistics.jsonl"
OLDER = "statistics.jsonl.1"
MAX_BODY_BYTES = 64 * 1024
MAX_FIGURES = 500
MAX_TEXT_LETTERS = 200
_NAME = re.compile(r"[A-Za-z0-9_.]{1,80}")


class BadFigures(ValueError):
    """The body is no such object; the message says why."""


def parse_figures(body: bytes) -> dict[str, Any]:
    """The figures of a body, or raise BadFigures."""
    try:
        figures = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadFigures(f"the body is no JSON: {error}") from error
    if not isinstance(figures, dict) or len(figures) > MAX_FIGURES:
        raise BadFigures(f"the body must be one object of at most {MAX_FIGURES} figures")
    for name, value in figures.items():
        if not _NAME.fullmatch(name) or not _plain(value):
            raise BadFigures(
                f"{name[:80]!r}: give a name of letters, digits, _ and ., and a number or a short text"
            )
    return figures


class Usage:
    """The file of statistics. budget: bytes; when half of it is full, the half before that goes."""

    def __init__(self, directory: Path, budget: int) -> None:
        self._path, self._older = directory / FILE, directory / OLDER
        self._half = budget // 2
        self._size = self._path.stat().st_size if self._path.exists() else 0

    def append(self, figures: dict[str, Any], by: str, at: int) -> None:
        """Enter them. by: whose key; at: seconds since the epoch. Raises OSError."""
        line = json.dumps({"at": at, "by": by, "figures": figures}).encode() + b"\n"
        if self._size and self._size + len(line) > self._half:
            self._path.replace(self._older)
            self._size = 0
        with self._path.open("ab") as file:
            file.write(line)
        self._size += len(line)


def _plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TEXT_LETTERS
    return isinstance(value, int | float) and math.isfinite(value)
