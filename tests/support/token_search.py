"""Looks for the text of enrolment tokens on the disks of machines that run, and in files."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from tests.support.kvm_host import KvmHost

TOKEN = re.compile(rb"kvmla1_[A-Za-z0-9_-]{43}")
_LONGEST = 50  # bytes of one
_BLOCK = 8 << 20


def tokens_in(file: Path) -> set[bytes]:
    """Those in a file; its holes are passed over."""
    found: set[bytes] = set()
    fd = os.open(file, os.O_RDONLY)
    try:
        size, at = os.fstat(fd).st_size, 0
        while at < size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            found.update(TOKEN.findall(os.pread(fd, _BLOCK + _LONGEST - 1, at)))
            at += _BLOCK
    finally:
        os.close(fd)
    return found


def tokens_of(host: KvmHost, machine: str, directory: Path) -> dict[str, set[bytes]]:
    """Those on each disk of a machine that runs, by the disk's target: on what was written, not on its image.

    The machine stands still meanwhile, so that QEMU has written down where everything lies. What its kernel
    has not written yet is not there: have it `sync` before. directory: with room for the disks, seen on both
    sides.
    """
    rows = (line.split(maxsplit=1) for line in host.virsh("domblklist", machine).splitlines()[2:] if line)
    copies = {target: (source, directory / f"{machine}-{target}") for target, source in rows}
    host.virsh("suspend", machine)
    try:
        for source, copy in copies.values():
            _ran(host, "cp", "--sparse=always", source.strip(), copy)
    finally:
        host.virsh("resume", machine)
    return {target: _searched(host, copy) for target, (_, copy) in copies.items()}


def tokens_below(directory: Path, but: Iterable[Path]) -> set[bytes]:
    """Those in all files below a directory. but: files and directories that are passed over."""
    passed, found = set(but), set[bytes]()
    for place, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if Path(place, name) not in passed]
        for file in (Path(place, name) for name in files):
            if file not in passed and file.is_file() and not file.is_symlink():
                found |= tokens_in(file)
    return found


def _searched(host: KvmHost, copy: Path) -> set[bytes]:
    """Those in a copy of an image, which goes: where it is a qcow2, as the machine sees it."""
    raw = copy.with_name(f"{copy.name}.raw")
    with copy.open("rb") as file:
        is_qcow2 = file.read(4) == b"QFI\xfb"
    try:
        if not is_qcow2:
            return tokens_in(copy)
        _ran(
            host, "qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "", copy
        )  # what lies under it is not its own
        _ran(host, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", copy, raw)
        return tokens_in(raw)
    finally:
        copy.unlink()
        raw.unlink(missing_ok=True)


def _ran(host: KvmHost, *words: object) -> None:
    ran = host.run(*words)
    assert ran.returncode == 0, ran.stderr
