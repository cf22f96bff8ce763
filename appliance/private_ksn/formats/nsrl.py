"""NSRL RDSv3, minimal: a SQLite file with FILE and PKG.

What it lists is known, which is not the same as harmless: its entries are grey unless --zone says
otherwise. A package's name, version and manufacturer say what program a file belongs to, its
application_type the category.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from appliance.feeds.lines import Bad, Progress, SourceError, check_regular
from appliance.private_ksn.reputation import Reputation
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import BadSubject, parse_hash

# By the digest: what is written comes in order, and a file that is in many packages comes together.
_ROWS = """
SELECT FILE.sha256, FILE.sha1, FILE.md5, PKG.name, PKG.version, PKG.application_type, {maker}
FROM FILE LEFT JOIN PKG ON PKG.package_id = FILE.package_id {join}
ORDER BY FILE.sha256
"""
_NO_MAKERS = _ROWS.format(maker="''", join="")
_WITH_MAKERS = _ROWS.format(
    maker="MFG.name", join="LEFT JOIN MFG ON MFG.manufacturer_id = PKG.manufacturer_id"
)
_HAS_MAKERS = "SELECT count(*) FROM sqlite_master WHERE name = 'MFG'"


def read(path: Path, words: Words, progress: Progress) -> Iterator[Found | Bad]:
    """Every file once, under its SHA-256, with SHA-1 and MD5 as aliases. Raises SourceError, OSError."""
    check_regular(path)
    database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    database.text_factory = lambda raw: raw.decode(errors="replace")  # one odd name must not end the import
    try:
        # rowid is counted by its largest, which costs nothing; a full count would read the file once more.
        progress.total = database.execute("SELECT max(rowid) FROM FILE").fetchone()[0] or 0
        rows = _WITH_MAKERS if database.execute(_HAS_MAKERS).fetchone()[0] else _NO_MAKERS
        last = None
        for row in database.execute(rows):
            progress.done += 1
            if row[0] == last:
                continue
            last = row[0]
            try:
                yield _file(row, words)
            except BadSubject as error:
                yield Bad(f"row {progress.done} by SHA-256", str(error))
    except sqlite3.Error as error:
        raise SourceError(f"{path}: is no NSRL RDSv3 minimal database: {error}") from error
    finally:
        database.close()


def _file(row: tuple[object, ...], words: Words) -> Found:
    sha256, sha1, md5, name, version, category, maker = (str(one) if one is not None else "" for one in row)
    if len(sha256) != 64:
        raise BadSubject(f"{sha256[:80]!r} is no SHA-256")
    keys = tuple(parse_hash(digest).key for digest in (sha256, sha1, md5) if digest)
    return Found(
        keys, Reputation(words.zone, words.threat, words.category or category, _program(name, version, maker))
    )


def _program(name: str, version: str, maker: str) -> str:
    """ "Firefox 115.0 (Mozilla)", as far as it is known; "" without a name."""
    if not name:
        return ""
    return " ".join(filter(None, (name, version, maker and f"({maker})")))
