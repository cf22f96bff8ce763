"""URLhaus's CSV, also in its ZIP: columns by the header line, since older dumps have fewer.

The header is the comment that names the columns: "# id,dateadded,url,url_status,last_online,threat,tags,...".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from appliance.feeds.csv_line import csv_fields, seconds_of
from appliance.feeds.lines import Bad, Progress, SourceError, lines


class Listed(NamedTuple):
    """One row. line: its number. url: as it stands there. added: seconds since the epoch, 0 where unknown."""

    line: int
    url: str
    threat: str
    added: int


def read(path: Path, progress: Progress) -> Iterator[Listed | Bad]:
    """Every row. Raises SourceError where no header comes before the first, and OSError."""
    columns: dict[str, int] = {}
    for number, line in lines(path, progress):
        if isinstance(line, Bad):
            yield line
        elif line.startswith("#"):
            columns = _header(line) or columns
        elif line and not columns and _header(line):
            columns = _header(line)  # some mirrors write it without the "#"
        elif line and not columns:
            raise SourceError(f"{path}: no header line with the column url comes before line {number}")
        elif line:
            try:
                yield _listed(number, csv_fields(line), columns)
            except ValueError as error:
                yield Bad(f"line {number}", str(error))


def _header(line: str) -> dict[str, int]:
    """The columns that a line names, none where it is no header."""
    try:
        names = [name.strip() for name in csv_fields(line.lstrip("# "))]
    except ValueError:
        return {}
    return {name: at for at, name in enumerate(names)} if "url" in names and len(names) > 1 else {}


def _listed(number: int, row: list[str], columns: dict[str, int]) -> Listed:
    needed = max(columns.values()) + 1  # a column that the header names twice is its last
    if len(row) < needed:
        raise ValueError(f"it has {len(row)} fields; the header has {needed}")

    def field(name: str) -> str:
        return row[columns[name]] if name in columns else ""

    return Listed(number, field("url"), field("threat"), seconds_of(field("dateadded")))
