"""URLhaus's CSV, also in its ZIP: columns by the header line, since older dumps have fewer.

The header is the comment that names the columns: "# id,dateadded,url,url_status,last_online,threat,tags,...".
"""

from collections.abc import Iterator
from pathlib import Path

from appliance.private_ksn.formats.csv_line import csv_fields, seconds_of
from appliance.private_ksn.reputation import Reputation
from appliance.private_ksn.sources import Bad, Found, Progress, SourceError, Words, lines
from appliance.private_ksn.subjects import BadSubject, parse_domain, parse_url


def read(path: Path, words: Words, progress: Progress) -> Iterator[Found | Bad]:
    """Every URL, its threat as the category. Raises SourceError where no header comes before the first."""
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
                yield _entry(csv_fields(line), columns, words)
            except ValueError as error:
                yield Bad(f"line {number}", str(error))


def _header(line: str) -> dict[str, int]:
    """The columns that a line names, none where it is no header."""
    try:
        names = [name.strip() for name in csv_fields(line.lstrip("# "))]
    except ValueError:
        return {}
    return {name: at for at, name in enumerate(names)} if "url" in names and len(names) > 1 else {}


def _entry(row: list[str], columns: dict[str, int], words: Words) -> Found:
    if len(row) < len(columns):
        raise ValueError(f"it has {len(row)} fields; the header has {len(columns)}")

    def field(name: str) -> str:
        return row[columns[name]] if name in columns else ""

    category = words.category or field("threat")
    word = Reputation(words.zone, words.threat, category, "", seconds_of(field("dateadded")))
    return Found((_key(field("url")),), word)


def _key(text: str) -> bytes:
    """The URL's; one without a path is that of its root, as a client would ask for it."""
    try:
        return parse_url(text).key
    except BadSubject:
        host = text.partition("://")[2]
        if not host or set(host) & set("/?#:@"):
            raise
        parse_domain(host)
        return parse_url(text + "/").key
