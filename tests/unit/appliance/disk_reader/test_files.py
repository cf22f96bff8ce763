"""Files by descriptor, and windows on them."""

import os
from pathlib import Path

from appliance.disk_reader.files import FileStream, window


def test_a_window_shows_its_part_and_no_more(tmp_path: Path) -> None:
    """From its own beginning to its own end."""
    (tmp_path / "file").write_bytes(b"0123456789")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    part = window(FileStream(fd), 2, 5)  # type: ignore[arg-type]
    assert (part.read(3), part.read(9), part.read(1)) == (b"234", b"56", b"")
    assert part.seek(-1, os.SEEK_END) == 4
    assert part.read() == b"6"
    os.close(fd)
