"""An ISO 9660 file system, read by a program that is not ours."""

import subprocess
from pathlib import Path

import pytest

from appliance.hypervisor.deploy.iso import image, read

FILES = {"meta-data": b"{}\n", "network-config": b"", "user-data": b"#cloud-config\n" + b"x" * 5000}


def isoinfo(path: Path, *words: str) -> bytes:
    """What `isoinfo` says of it."""
    return subprocess.run(["isoinfo", "-i", str(path), *words], check=True, capture_output=True).stdout


def test_every_file_is_found_by_its_name(tmp_path: Path) -> None:
    """Its content to the byte, one of several sectors and an empty one too."""
    path = tmp_path / "seed.iso"
    path.write_bytes(image("CIDATA", FILES))
    assert b"Volume id: CIDATA" in isoinfo(path, "-d")
    for name, content in FILES.items():
        assert isoinfo(path, "-J", "-x", f"/{name}") == content


def test_every_file_is_read_again() -> None:
    """To the byte; what is no such file system, or cut short, is told."""
    made = image("CIDATA", FILES)
    assert {name: read(made, name) for name in FILES} == FILES
    for damaged, name in (
        (made, "none"),
        (b"", "user-data"),
        (made[:-4096], "user-data"),
        (made[:50_000], "x"),
    ):
        with pytest.raises(ValueError, match=r"there is no none|no file system|cut short"):
            read(damaged, name)
    at = 24 * 2048  # its directory of Joliet names
    for record in (b"\x05\0\0\0\0", b"\x21" + bytes(32), b"\xff" * 40):
        with pytest.raises(ValueError, match=r"damaged|there is no"):
            read(made[:at] + record.ljust(2048, b"\0") + made[at + 2048 :], "user-data")


def test_the_same_files_are_the_same_bytes() -> None:
    """So a second deploy finds nothing to change."""
    assert image("CIDATA", FILES) == image("CIDATA", dict(reversed(FILES.items())))
    assert len(image("CIDATA", FILES)) % 2048 == 0
