"""In which line of a TOML text something stands, for messages that name it."""

import tomllib
from pathlib import Path
from typing import Any

Key = tuple[str, ...]


def lines_of(text: str) -> dict[Key, int]:
    """Return the line, from 1, in which each table and each setting begins.

    text: a valid TOML document. Settings of an inline table stand in the line of that table.

    A statement ends with the first line at which tomllib takes what was gathered since the last
    one, so this follows TOML's own rules for strings and arrays of several lines. It costs time in
    the square of a statement's lines, which are few; it runs only when there is a problem to report.
    """
    lines: dict[Key, int] = {}
    table: Key = ()
    gathered, begin = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        gathered += line + "\n"
        try:
            statement = tomllib.loads(gathered)
        except tomllib.TOMLDecodeError:
            continue
        if gathered.lstrip().startswith("["):
            table = _deepest(statement)
            _note(lines, (), statement, begin)
        else:
            _note(lines, table, statement, begin)
        gathered, begin = "", number + 1
    return lines


def _deepest(header: dict[str, Any]) -> Key:
    """Return the name of the one table that a header such as [a.b] or [[a]] opens."""
    key: Key = ()
    inner: Any = header
    while inner:
        if isinstance(inner, list):
            inner = inner[0]
            continue
        [(name, inner)] = inner.items()
        key = (*key, name)
    return key


def _note(lines: dict[Key, int], prefix: Key, statement: dict[str, Any], line: int) -> None:
    """Enter every name of the statement that was not seen before."""
    for name, value in statement.items():
        key = (*prefix, name)
        lines.setdefault(key, line)
        if isinstance(value, dict):
            _note(lines, key, value, line)


def syntax_problem(message: str, text: str, path: Path) -> str:
    """Turn tomllib's "what (at line 3, column 5)" into "file:3: what (column 5)"."""
    what, _, place = message.removesuffix(")").rpartition(" (at ")
    if not place.startswith("line "):  # "at end of document"
        return f"{path}:{text.count(chr(10)) + 1}: not TOML: {what}"
    line, _, column = place.removeprefix("line ").partition(", ")
    return f"{path}:{line}: not TOML: {what} ({column})"
