"""A disk that boots: read again by mtools, without mounting."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from appliance.hypervisor.image import disk as module
from appliance.hypervisor.image.disk import Boot, make_disk
from appliance.hypervisor.image.partitions import BOOT_START_MIB, ROOT_START_MIB
from appliance.hypervisor.image.running import ImageError


def made(directory: Path) -> Path:
    """One with small parts."""
    directory.mkdir()
    (directory / "vmlinuz").write_bytes(b"kernel" * 1000)
    with (directory / "root").open("wb") as root:
        root.truncate(8 << 20)
        root.write(b"the root file system")
    scratch = directory / "scratch"
    scratch.mkdir()
    boot = Boot(directory / "vmlinuz", b"initrd" * 1000, "console=ttyS0 one two")
    make_disk(boot, directory / "root", 1_700_000_000, directory / "disk.raw", scratch)
    return directory / "disk.raw"


def test_the_parts_are_where_the_table_says(tmp_path: Path) -> None:
    """A boot loader with its settings, the kernel, and the root file system."""
    file = made(tmp_path / "a")
    fat = f"{file}@@{BOOT_START_MIB}M"
    said = subprocess.run(["mtype", "-i", fat, "::/syslinux.cfg"], check=True, capture_output=True, text=True)
    assert "APPEND console=ttyS0 one two" in said.stdout
    listed = subprocess.run(
        ["mdir", "-a", "-b", "-i", fat], check=True, capture_output=True, text=True
    ).stdout
    assert {"::/kernel", "::/initrd", "::/syslinux.cfg", "::/ldlinux.sys"} <= set(listed.split())
    with file.open("rb") as disk:
        disk.seek(ROOT_START_MIB << 20)
        assert disk.read(20) == b"the root file system"


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    """No time and no number that is drawn."""
    digests = {hashlib.sha256(made(tmp_path / name).read_bytes()).hexdigest() for name in "ab"}
    assert len(digests) == 1


def test_without_a_boot_loader_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is made."""
    monkeypatch.setattr(module, "MBR_CODE", tmp_path / "none")
    with pytest.raises(ImageError, match="apt-get install syslinux"):
        made(tmp_path / "a")
