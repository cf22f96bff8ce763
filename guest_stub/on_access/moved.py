"""Looks for files that are not at their path any more, by their inodes: no renaming hides one."""

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from guest_stub.manners import idle_disk
from guest_stub.records import inode_of
from guest_stub.walk import Nobody, Places, Walk


async def moved_to(places: Places, keys: Collection[bytes]) -> dict[bytes, str]:
    """Where files are now: their keys, as in `records`, with a path each.

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


def _walk(places: Places, roots: tuple[str, ...], keys: Collection[bytes], stop: Event) -> dict[bytes, str]:
    left, inodes = set(keys), set(map(inode_of, keys))
    found: dict[bytes, str] = {}
    for batch in Walk(places.selection(roots), Nobody(), stop.is_set).batches():
        for file in batch:
            if file.key and inode_of(file.key) in inodes:
                found[file.key] = f"{file.directory}/{file.name}"
                left.discard(file.key)
        if not left:
            break
    return found
