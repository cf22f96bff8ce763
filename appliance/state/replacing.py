"""Puts a restored state in the place of the one that is there; killed at any step, one of the two is whole.

A restore gathers what it brings in the directory UNFINISHED of the state directory, and renames that to
READY + a stamp. From then on the new state counts: whoever opens the state next, be it an SVM that starts,
calls `finish` first, which moves each old name to KEPT + the stamp and then the new one into its place. A
name that is no longer in READY is in its place already, so it can be killed and called again.

What the state directory has beside that, the cache and who holds which file, belongs to the old state: its
numbers of tenants may be others'. It may be lost, and is.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from appliance.durable import sync_directory

UNFINISHED = "restore-unfinished"
READY = "restore-ready-"
KEPT = "before-restore-"

# Every restored state has all of these. The files beside LMDB's name its readers, and go with them.
NAMES = ("identity", "events.lmdb", "events.lmdb-lock", "state.lmdb", "state.lmdb-lock")

_LOST = (
    "cache.lmdb", "cache.lmdb-lock", "cache.in-use",
    "exposure.lmdb", "exposure.lmdb-lock", "exposure.in-use", "exposure-*.raw",
)  # fmt: skip


def begin(directory: Path) -> Path:
    """Make the empty directory in which to gather. The caller holds the state's lock. Raises OSError."""
    forget_unfinished(directory)
    gathered = directory / UNFINISHED
    gathered.mkdir(mode=0o700)
    return gathered


def commit(directory: Path, stamp: str) -> None:
    """Have what was gathered, each file of it synced, count from now on; `finish` does the rest."""
    sync_directory(directory / UNFINISHED / "identity")
    sync_directory(directory / UNFINISHED)
    (directory / UNFINISHED).rename(directory / f"{READY}{stamp}")
    sync_directory(directory)


def finish(directory: Path) -> None:
    """End what a restore had begun, if any had. The caller holds the state's lock. Raises OSError."""
    for ready in sorted(directory.glob(f"{READY}*")):
        _put_in_place(directory, ready, directory / ready.name.replace(READY, KEPT, 1))
    with suppress(OSError):  # it takes room, and is in nobody's way
        forget_unfinished(directory)


def forget_unfinished(directory: Path) -> None:
    """Remove what a restore had gathered that did not come to its commit. Raises OSError."""
    if (directory / UNFINISHED).exists():
        shutil.rmtree(directory / UNFINISHED)


def _put_in_place(directory: Path, ready: Path, kept: Path) -> None:
    for pattern in _LOST:
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)
    for name in NAMES:
        new, place = ready / name, directory / name
        if not new.exists():
            continue
        if place.exists():
            kept.mkdir(mode=0o700, exist_ok=True)
            place.rename(kept / name)
        new.rename(place)
    for changed in (kept, directory):
        if changed.exists():
            sync_directory(changed)
    shutil.rmtree(ready)
    sync_directory(directory)
