"""Disk images for tests, made by the file systems' own tools: nothing is mounted."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.files import FileStream
from appliance.disk_reader.trees.table import TREES
from appliance.disk_reader.walking import Bounds, Found, Problem, Walk

PLENTY = Bounds(1_000_000, 1 << 40, 1 << 50)
_MIB = 1 << 20
_ENVIRONMENT = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK": "1"}


def tool(*words: object) -> None:
    """Run a tool that makes images."""
    subprocess.run(
        list(map(str, words)), check=True, capture_output=True, timeout=120, env=_ENVIRONMENT, text=True
    )


def write_tree(top: Path, seed: int = 1) -> dict[str, bytes]:
    """Fill a directory with files of many sizes, holes and names; the SHA-256 of each by its path."""
    numbers = random.Random(seed)
    contents: dict[str, bytes] = {
        "/empty": b"",
        "/one": b"1",
        "/etc/inline": numbers.randbytes(90),
        "/etc/block": numbers.randbytes(4096),
        "/usr/bin/large": numbers.randbytes(3 * _MIB + 17),
        "/usr/deep/er/est/file": b"deep",
        "/usr/holes": bytes(300_000) + numbers.randbytes(5000) + bytes(200_001),
    }
    contents |= {f"/many/file-{number:03}": numbers.randbytes(number * 37) for number in range(150)}
    for path, data in contents.items():
        place = top / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return {path: hashlib.sha256(data).digest() for path, data in contents.items()}


def ext4(tree: Path, image: Path, *options: str, mib: int = 32) -> Path:
    """An ext4 file system, or with `-t ext2` that."""
    kind = () if "-t" in options else ("-t", "ext4")
    tool("mke2fs", "-q", *kind, *options, "-d", tree, image, f"{mib}M")
    return image


def xfs(tree: Path, image: Path, mib: int = 320) -> Path:
    """An xfs file system, filled by a prototype of it."""
    lines = ["/boot", "0 0", "d--755 0 0", *_prototype(tree), "$"]
    listing = image.with_suffix(".proto")
    listing.write_text("\n".join(lines) + "\n")
    empty(image, mib)
    tool("mkfs.xfs", "-q", "-p", listing, image)
    return image


def _prototype(directory: Path) -> list[str]:
    lines: list[str] = []
    for each in sorted(directory.iterdir()):
        if each.is_symlink():
            lines.append(f"{each.name} l--777 0 0 {each.readlink()}")
        elif each.is_dir():
            lines += [f"{each.name} d--755 0 0", *_prototype(each), "$"]
        else:
            lines.append(f"{each.name} ---644 0 0 {each}")
    return lines


def btrfs(tree: Path, image: Path, mib: int = 160) -> Path:
    """A btrfs file system."""
    empty(image, mib)
    tool("mkfs.btrfs", "-q", "-r", tree, image)
    return image


def fat(tree: Path, image: Path, bits: int = 32, mib: int = 48) -> Path:
    """A FAT file system."""
    empty(image, mib)
    tool("mkfs.vfat", "-F", bits, image)
    tool("mcopy", "-s", "-i", image, *sorted(tree.iterdir()), "::/")
    return image


def ntfs(files: Sequence[Path], image: Path, mib: int = 32) -> Path:
    """An NTFS file system with some files in its root, and a stream beside the main one of the first."""
    empty(image, mib)
    tool("mkntfs", "-q", "-F", image)
    for file in files:
        tool("ntfscp", "-q", image, file, file.name)
    tool("ntfscp", "-q", "-N", "beside", image, files[-1], files[0].name)
    return image


def within_ntfs(image: Path, code: str) -> Path:
    """Have Python code work on a mounted NTFS, in the directory `top`, in a mount namespace of its own."""
    top = image.with_suffix(".mounted")
    top.mkdir()
    whole = "import os, sys\nfrom pathlib import Path\ntop = Path(sys.argv[1])\n" + code
    script = 'ntfs-3g -o streams_interface=windows "$1" "$2" && "$3" -c "$4" "$2" && umount "$2"'
    words = ("sh", "-c", script, "sh", image, top, sys.executable, whole)
    tool("unshare", "--mount", "--propagation", "private", *words)
    return image


def empty(image: Path, mib: int) -> Path:
    """A file of zeros."""
    with image.open("wb") as file:
        file.truncate(mib * _MIB)
    return image


def patch(image: Path, at: int, data: bytes) -> None:
    """Write over some bytes of an image, as root in a guest can."""
    with image.open("r+b") as file:
        file.seek(at)
        file.write(data)


def converted(image: Path, target: Path, *options: str) -> Path:
    """The same disk in another format, that of the target's suffix."""
    tool("qemu-img", "convert", "-O", target.suffix[1:], *options, image, target)
    return target


def overlay(backing: Path, target: Path, backing_format: str) -> Path:
    """A qcow2 image that lies on another."""
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", backing_format, target)
    return target


def partitioned(parts: Sequence[Path], image: Path, label: str = "gpt") -> Path:
    """A disk with a partition for each file, whose sizes are whole MiB."""
    words, at = ["mklabel", label], 1
    for part in parts:
        end = at + part.stat().st_size // _MIB
        words += ["mkpart", "primary", f"{at}MiB", f"{end}MiB"]
        at = end
    empty(image, at + 1)
    tool("parted", "-s", image, *words)
    at = 1
    with image.open("r+b") as disk:
        for part in parts:
            disk.seek(at * _MIB)
            with part.open("rb") as file:
                shutil.copyfileobj(file, disk)
            at += part.stat().st_size // _MIB
    return image


@dataclass
class Read:
    """What a walk has found: the SHA-256 of each path, and what it says of those that it did not read."""

    files: dict[str, bytes]
    problems: dict[str, str]


def read_tree(stream: BinaryIO | Path, kind: str, bounds: Bounds = PLENTY) -> Read:
    """Walk a file system, in this process."""
    fd = os.open(stream, os.O_RDONLY) if isinstance(stream, Path) else -1
    try:
        made: Callable[[BinaryIO], object] = TREES[kind]
        tree = made(FileStream(fd) if isinstance(stream, Path) else stream)  # type: ignore[arg-type]
        read = Read({}, {})
        for each in Walk(tree, bounds, Patience()):  # type: ignore[arg-type]
            if isinstance(each, Problem):
                read.problems[each.path] = each.sentence
            else:
                assert isinstance(each, Found)
                read.files[each.path] = each.sha256
        return read
    finally:
        if fd >= 0:
            os.close(fd)
