"""Lines of a file, or of the one file in a ZIP."""

import os
import zipfile
from pathlib import Path

import pytest

from appliance.feeds.lines import MAX_LINE_BYTES, Bad, Progress, SourceError, lines


def test_lines_with_their_numbers(tmp_path: Path) -> None:
    """A byte-order mark and line ends go; what is no text or too long is told and passed over."""
    content = b"\xef\xbb\xbfone\r\n\xff\n" + b"x" * 3 * MAX_LINE_BYTES + b"\nlast"
    (tmp_path / "f").write_bytes(content)
    progress = Progress()
    found = list(lines(tmp_path / "f", progress))
    assert [number for number, _ in found] == [1, 2, 3, 4]
    assert (found[0][1], found[3][1]) == ("one", "last")
    assert all(isinstance(line, Bad) and line.where == f"line {number}" for number, line in found[1:3])
    assert progress.total == len(content)


def test_a_zip_is_read_through(tmp_path: Path) -> None:
    """Its one file, compressed; with two of them nobody knows which."""
    with zipfile.ZipFile(tmp_path / "z", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("full.csv", "a\nb\n")
    progress = Progress()
    assert list(lines(tmp_path / "z", progress)) == [(1, "a"), (2, "b")]
    assert (progress.done, progress.total) == (4, 4)
    with zipfile.ZipFile(tmp_path / "z", "a") as archive:
        archive.writestr("more.csv", "c\n")
    with pytest.raises(SourceError, match="has 2 files"):
        list(lines(tmp_path / "z", progress))


def test_a_damaged_zip_is_told(tmp_path: Path) -> None:
    """By its checksum."""
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("full.csv", "abc\n" * 100)
    raw = (tmp_path / "z").read_bytes()
    (tmp_path / "z").write_bytes(raw.replace(b"abc", b"abd", 1))
    with pytest.raises(SourceError, match="cannot be read"):
        list(lines(tmp_path / "z", Progress()))


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A pipe, though a line stands in it: nobody knows when, and whether, it ends."""
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        os.write(pipe, b"line\n")
        with pytest.raises(SourceError, match="is no regular file"):
            next(lines(tmp_path / "pipe", Progress()))
    finally:
        os.close(pipe)
