"""An import: a source becomes a file of its own, and then, in one step, what counts for its feed.

Killed at any point it leaves the old set in force. The file that it had begun is named by nothing, and
the next import removes it.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lmdb

from appliance.durable import sync_directory
from appliance.feeds.lines import Bad
from appliance.private_ksn.feed_file import FeedFile, FeedWriter
from appliance.private_ksn.flips import flips
from appliance.private_ksn.reputation import Reputation
from appliance.private_ksn.sources import Found
from appliance.private_ksn.store import MAX_FEEDS, OPERATOR, Feed, Flip, Store, StoreError

LOCK = "import.lock"
LOOK_EVERY = 1000  # entries between two looks at the progress
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class ImportRefused(Exception):
    """An import cannot begin, or took nothing; the message says why. What was there before still counts."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. entries: things; keys: with the aliases. flipped: None: more than are kept."""

    entries: int
    keys: int
    bad: int
    flipped: int | None


def import_feed(
    store: Store, name: str, form: str, source: Iterator[Found | Bad], now: int, look: Callable[[int], None]
) -> Imported:
    """Let a feed be what the source gives. look: called now and then with the number of entries so far.

    Raises ImportRefused, StoreError, and what the source raises.
    """
    if not NAME.fullmatch(name) or name == OPERATOR:
        raise ImportRefused(
            f"{name[:80]!r} is no name of a feed: give small letters, digits, - and _, at most 40"
        )
    with importing(store):
        feeds = store.feeds()
        if name not in feeds and len(feeds) >= MAX_FEEDS:
            raise ImportRefused(f"there are {MAX_FEEDS} feeds: drop one first")
        remove_leftovers(store)
        # A name that no file had before: a server may still have a file open that was removed.
        path = store.directory / f"{name}-{secrets.token_hex(8)}.lmdb"
        try:
            counts = _write(path, source, look)
        except lmdb.Error as error:
            raise StoreError(f"{path} cannot be written ({error}): free room on its disk") from error
        entries, keys, bad, first_bad = counts
        if bad and not entries:
            assert first_bad is not None
            raise ImportRefused(f"nothing could be taken; {first_bad.where}: {first_bad.why}")
        changes = _changes(store, name, FeedFile(path, name))
        # The name of the file has to outlive the machine as its content does.
        sync_directory(store.directory)
        store.put_feed(name, Feed(path.name, form, now, keys, bad), changes)
        remove_leftovers(store)
    return Imported(entries, keys, bad, None if changes is None else len(changes))


def not_empty(source: Iterator[Found | Bad]) -> Iterator[Found | Bad]:
    """Hand on what a source gives; ImportRefused where that is nothing, which would end all of the feed."""
    some = False
    for item in source:
        some = True
        yield item
    if not some:
        raise ImportRefused("there is nothing in it, so nothing was changed: --allow-empty empties the feed")


def drop_feed(store: Store, name: str) -> bool:
    """Let a feed count no more, and remove its file; False where there is none. Raises as import_feed."""
    with importing(store):
        if name not in store.feeds():
            return False
        store.drop_feed(name, _changes(store, name, None))
        remove_leftovers(store)
    return True


@contextmanager
def importing(store: Store) -> Iterator[None]:
    """Hold the right to change feeds, which one process has at a time, or raise ImportRefused."""
    lock = os.open(store.directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImportRefused(f"another import runs on {store.directory}: wait for its end") from None
        yield
    finally:
        os.close(lock)


def remove_leftovers(store: Store) -> None:
    """Remove the files that no feed names: of replaced sets, and of imports that died."""
    named = {feed.file for feed in store.feeds().values()}
    for path in store.directory.glob("*.lmdb"):
        if path.name not in named:
            path.unlink()


def _write(
    path: Path, source: Iterator[Found | Bad], look: Callable[[int], None]
) -> tuple[int, int, int, Bad | None]:
    entries = bad = 0
    first_bad: Bad | None = None
    with FeedWriter(path) as writer:
        for item in source:
            if isinstance(item, Bad):
                bad += 1
                first_bad = first_bad or item
            else:
                entries += 1
                writer.add(item.keys, item.reputation)
            if not (entries + bad) % LOOK_EVERY:
                look(entries)
        keys = writer.finish()
    look(entries)
    return entries, keys, bad, first_bad


def _changes(store: Store, name: str, new: FeedFile | None) -> list[Flip] | None:
    """The zones that change when `new`, which is closed then, takes the feed's place."""

    def others(key: bytes) -> tuple[Reputation | None, bool]:
        own = store.own(key)
        fed = None if own else store.fed(key, without=name)
        return own or (fed[0] if fed else None), own is not None

    try:
        return flips(store.file_of(name), new, others)
    finally:
        if new:
            new.close()
