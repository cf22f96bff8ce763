"""Room for what the SVM keeps."""

import os
from collections.abc import Iterator
from pathlib import Path

from appliance.config import Settings
from appliance.doctor.findings import Finding, amiss, mib, note, ok

LEAST_BYTES = 64 << 20  # free; below this changes may soon be refused
_MIB = 1 << 20


def disk_findings(directory: Path, settings: Settings) -> Iterator[Finding]:
    """Whether the directory can be written, and has room for what may still come. Raises OSError."""
    room = os.statvfs(directory)
    if room.f_flag & os.ST_RDONLY:
        yield amiss("disk", f"{directory} is on a file system that is mounted read-only: see why, remount it")
        return
    free = room.f_bavail * room.f_frsize
    if free < LEAST_BYTES:
        yield amiss("disk", f"{mib(free)} are free for {directory}: make room, or no change can be kept")
        return
    if room.f_files and not room.f_favail:
        yield amiss("disk", f"no file can be made in {directory} any more: its file system has no inode left")
        return
    wanted = may_grow(directory, settings)
    said = f"{mib(free)} are free; cache, exposure and events may grow by {mib(wanted)}"
    enough = free >= wanted + LEAST_BYTES
    less = "lower cache.map_mib, exposure.max_mib or events.max_mib, or make room"
    yield ok("disk", said) if enough else note("disk", f"{said}: {less}")


def may_grow(directory: Path, settings: Settings) -> int:
    """By how many bytes what has a bound may still grow."""
    bounds = {
        "cache.lmdb": settings.cache.map_mib,
        "exposure.lmdb": settings.exposure.max_mib,
        "events.lmdb": settings.events.max_mib,
    }
    return sum(max(0, most * _MIB - _taken(directory / name)) for name, most in bounds.items())


def _taken(path: Path) -> int:
    """Bytes of the disk that a file takes."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
