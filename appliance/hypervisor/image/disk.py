"""A disk that boots: MBR, a small FAT with syslinux and the kernel, and the root file system."""

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.hypervisor.image.partitions import (
    BOOT_MIB,
    BOOT_START_MIB,
    ROOT_START_MIB,
    SECTORS_IN_MIB,
    boot_sector,
)
from appliance.hypervisor.image.running import ImageError, run

MBR_CODE = Path("/usr/lib/syslinux/mbr/mbr.bin")
_SIGNATURE = 0x4B564D4C
_CONFIG = """DEFAULT svm
PROMPT 0
TIMEOUT 0
LABEL svm
  KERNEL kernel
  INITRD initrd
  APPEND {append}
"""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Boot:
    """kernel: a file. initrd: bytes. append: words for the kernel."""

    kernel: Path
    initrd: bytes
    append: str


def make_disk(boot: Boot, root: Path, epoch: int, file: Path, scratch: Path) -> None:
    """Write it as a raw file. root: a file with the root file system. Raises ImageError."""
    if not MBR_CODE.exists():
        raise ImageError(
            "syslinux is not installed: `apt-get install syslinux syslinux-common mtools dosfstools`"
        )
    fat = scratch / "boot.fat"
    _make_fat(boot, epoch, fat, scratch)
    root_mib = root.stat().st_size >> 20
    with file.open("wb") as disk:
        disk.truncate((ROOT_START_MIB + root_mib + 1) << 20)
        disk.write(boot_sector(MBR_CODE.read_bytes(), _SIGNATURE, root_mib))
        for part, start in ((fat, BOOT_START_MIB), (root, ROOT_START_MIB)):
            _copy(part, disk.fileno(), start << 20)


def _make_fat(boot: Boot, epoch: int, file: Path, scratch: Path) -> None:
    environ = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
    with file.open("wb") as fat:
        fat.truncate(BOOT_MIB << 20)
    before = str(BOOT_START_MIB * SECTORS_IN_MIB)  # by which the boot loader finds itself
    run(
        [
            "mkfs.fat",
            "-F",
            "16",
            "-i",
            f"{_SIGNATURE:08x}",
            "-n",
            "KVMLA-BOOT",
            "--invariant",
            "-h",
            before,
            file,
        ],
        environ,
    )
    contents = scratch / "boot"
    contents.mkdir()
    (contents / "kernel").write_bytes(boot.kernel.read_bytes())
    (contents / "initrd").write_bytes(boot.initrd)
    (contents / "syslinux.cfg").write_text(_CONFIG.format(append=boot.append))
    named = sorted(contents.iterdir())
    for path in named:
        os.utime(path, (epoch, epoch))
    run(["mcopy", "-m", "-i", file, *named, "::/"], environ)
    run(["syslinux", "--install", file], environ)


def _copy(part: Path, disk: int, start: int) -> None:
    """Copy a file into another, without its holes."""
    with part.open("rb") as source:
        place = start
        while chunk := source.read(_CHUNK):
            if any(chunk):
                os.pwrite(disk, chunk, place)
            place += len(chunk)
