"""Tests of the ZIP that an analyst opens."""

import random
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from guest_stub.remediation.zip_aes import ZipWriter

NAMES = ["about.json", "content"]


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def write(path: Path, members: list[bytes], piece: int = 1000) -> None:
    """A ZIP of two members."""
    with path.open("wb") as file:
        archive = ZipWriter(partial(_write, file), b"infected")
        for name, member in zip(NAMES, members, strict=True):
            pieces = [member[start : start + piece] for start in range(0, len(member), piece)]
            archive.member(name, len(member), pieces)
        archive.close()


def extracted(path: Path, password: str) -> tuple[int, list[bytes]]:
    """7-Zip's exit code, and what it took out."""
    into = path.with_suffix(".d")
    shutil.rmtree(into, ignore_errors=True)
    command = ["7z", "x", f"-p{password}", f"-o{into}", str(path)]
    ended = subprocess.run(command, capture_output=True, check=False)
    return ended.returncode, [(into / name).read_bytes() for name in NAMES if (into / name).exists()]


@pytest.mark.parametrize("sizes", [(0, 0), (1, 15), (16, 17), (4096, 100_001)])
@pytest.mark.parametrize("piece", [7, 16, 1000])
def test_another_program_opens_it(tmp_path: Path, sizes: tuple[int, int], piece: int) -> None:
    """7-Zip takes out what was put in, whatever the sizes of members and pieces."""
    members = [random.Random(size).randbytes(size) for size in sizes]
    write(tmp_path / "a.zip", members, piece)
    assert extracted(tmp_path / "a.zip", "infected") == (0, members)


def test_without_the_password_there_is_nothing(tmp_path: Path) -> None:
    """Nothing of the content stands in the ZIP, and 7-Zip refuses another password."""
    content = b"all of this is bad " * 100
    write(tmp_path / "a.zip", [b"{}", content])
    assert b"this is bad" not in (tmp_path / "a.zip").read_bytes()
    code, members = extracted(tmp_path / "a.zip", "guess")
    assert code != 0
    assert content not in members


def test_a_change_is_noticed(tmp_path: Path) -> None:
    """Each member carries a code over its bytes."""
    write(tmp_path / "a.zip", [b"{}", b"x" * 1000])
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[600] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    assert extracted(tmp_path / "a.zip", "infected")[0] != 0


def test_a_member_has_the_size_that_was_said() -> None:
    """The header stands in front of it; it must not be wrong."""
    archive = ZipWriter(lambda _: None, b"infected")
    with pytest.raises(ValueError, match="are not 5 bytes together"):
        archive.member("content", 5, [b"four"])
