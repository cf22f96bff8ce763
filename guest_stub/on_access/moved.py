"""Looks for files that are not at their path any more, by their inodes, and takes hold of what it finds."""

import asyncio
import os
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Final

from guest_stub.decision import FileId
from guest_stub.found import FoundFile
from guest_stub.journal import Entry
from guest_stub.manners import idle_disk
from guest_stub.records import identify, inode_of
from guest_stub.remediation.handles import handle_of
from guest_stub.walk import Nobody, Places, Walk

CATCH_SECONDS: Final = 0.2  # that it is tried to take hold of a file which is renamed meanwhile
_PATH: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


async def moved_to(places: Places, keys: Collection[bytes]) -> dict[bytes, Entry]:
    """Where files are now, by their keys, as in `records`: a path each, and a handle where there is one.

    By inode number alone, since a device may have another number after a restart: others come out with
    them, by their own keys. A file that has no name, or whose inode says nothing, does not. Reads no file.
    """
    stop, thread = Event(), ThreadPoolExecutor(1, "moved", initializer=idle_disk)
    try:
        roots = tuple(places.roots())
        return await asyncio.get_running_loop().run_in_executor(thread, _walk, places, roots, keys, stop)
    finally:
        stop.set()
        thread.shutdown(wait=False, cancel_futures=True)


def _walk(places: Places, roots: tuple[str, ...], keys: Collection[bytes], stop: Event) -> dict[bytes, Entry]:
    left, inodes = set(keys), set(map(inode_of, keys))
    found: dict[bytes, Entry] = {}
    for batch in Walk(places.selection(roots), Nobody(), stop.is_set).batches():
        for file in batch:
            if file.key and inode_of(file.key) in inodes:
                found[file.key] = come_upon(file)
                left.discard(file.key)
        if not left:
            break
    return found


def come_upon(file: FoundFile) -> Entry:
    """What is to be looked at of a file that a walk has met, for a thread.

    Since it was met it may have another name: that is looked for in its directory, for a moment.
    """
    path, end = f"{file.directory}/{file.name}", time.monotonic() + CATCH_SECONDS
    handle = _handle(path, file.key)
    while not handle and time.monotonic() < end:
        for name in _names(file.directory, inode_of(file.key), end):
            if handle := _handle(f"{file.directory}/{name}", file.key):
                path = f"{file.directory}/{name}"
                break
        else:
            if os.path.lexists(path):  # where there are no handles
                break
    return Entry(path, time.time(), "search", file.key, handle)


def _names(directory: str, inode: int, end: float) -> Iterator[str]:
    """What a file is called in a directory, each time that it is met there; until a moment."""
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.inode() == inode:
                yield entry.name
            elif time.monotonic() >= end:
                return


def _handle(path: str, key: bytes) -> bytes:
    """The handle of what is at a path, if that is the file; b"" otherwise."""
    try:
        fd = os.open(path, _PATH)
    except OSError:
        return b""
    try:
        return handle_of(fd) if identify(FileId.of(os.fstat(fd)))[0] == key else b""
    finally:
        os.close(fd)
