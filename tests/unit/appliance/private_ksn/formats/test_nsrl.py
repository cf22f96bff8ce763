"""NSRL RDSv3 minimal, in a real SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from appliance.feeds.lines import Bad, Progress, SourceError
from appliance.private_ksn.formats.nsrl import read
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import parse_any


def database(path: Path, crc32: str) -> None:
    """Three files, one of them twice, and a bad one. crc32: its column, which early ones lack."""
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"CREATE TABLE FILE(sha256, sha1, md5, {crc32} file_name, file_size, package_id)")
        made.execute("CREATE TABLE PKG(package_id, name, version, application_type)")
        made.execute("INSERT INTO PKG VALUES (1, 'Firefox', '1', 'Browser')")
        made.execute("INSERT INTO PKG VALUES (2, CAST(x'42ff' AS TEXT), '1', 'Other')")  # no UTF-8
        for sha256, package in (("CD" * 32, 2), ("AB" * 32, 1), ("AB" * 32, 1), ("EF" * 32, 9), ("xyz", 1)):
            values = {"sha256": sha256, "sha1": "11" * 20, "md5": "22" * 16, "package_id": package}
            columns, marks = ", ".join(values), ", ".join("?" * len(values))
            made.execute(f"INSERT INTO FILE({columns}) VALUES ({marks})", tuple(values.values()))
        made.commit()


@pytest.mark.parametrize("crc32", ["crc32,", ""])
def test_files_in_order_with_their_program(tmp_path: Path, crc32: str) -> None:
    """Once each, by SHA-256; a package that is not there leaves the program open; the bad one is told."""
    database(tmp_path / "rds.db", crc32)
    progress = Progress()
    found = list(read(tmp_path / "rds.db", Words(Zone.GREY), progress))
    others = parse_any("11" * 20).key, parse_any("22" * 16).key
    assert found[:3] == [
        Found((parse_any("ab" * 32).key, *others), Reputation(Zone.GREY, "", "Browser", "Firefox 1")),
        Found((parse_any("cd" * 32).key, *others), Reputation(Zone.GREY, "", "Other", "B\ufffd 1")),
        Found((parse_any("ef" * 32).key, *others), Reputation(Zone.GREY)),
    ]
    assert isinstance(found[3], Bad)
    assert (progress.done, progress.total) == (5, 5)


def test_a_program_is_named_with_its_manufacturer(tmp_path: Path) -> None:
    """Where the database has them; one that is not listed leaves the name and the version."""
    database(tmp_path / "rds.db", "")
    with closing(sqlite3.connect(tmp_path / "rds.db")) as made:
        made.execute("ALTER TABLE PKG ADD COLUMN manufacturer_id")
        made.execute("UPDATE PKG SET manufacturer_id = package_id * 10")
        made.execute("CREATE TABLE MFG(manufacturer_id, name)")
        made.execute("INSERT INTO MFG VALUES (10, 'Mozilla')")
        made.commit()
    found = list(read(tmp_path / "rds.db", Words(Zone.GREY), Progress()))
    names = [one.reputation.name for one in found if isinstance(one, Found)]
    assert names == ["Firefox 1 (Mozilla)", "B\ufffd 1", ""]


def test_what_is_no_such_database_is_refused(tmp_path: Path) -> None:
    """Another file, and one that is not there, which is not begun by looking."""
    (tmp_path / "f").write_text("no database" * 100)
    for name in ("f", "none"):
        with pytest.raises((SourceError, FileNotFoundError)):
            list(read(tmp_path / name, Words(Zone.GREY), Progress()))
    assert not (tmp_path / "none").exists()
