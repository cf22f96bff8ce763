"""Files in places where somebody else may have put something that is none."""

import os
from pathlib import Path

import pytest

from appliance.regular import NoFile, open_regular


def test_a_file_is_read(tmp_path: Path) -> None:
    """By a link too: whose it is, is for whoever asks."""
    (tmp_path / "a").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"bytes"


def test_what_is_none_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to, a device, a directory."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(NoFile):
            open_regular(path)
