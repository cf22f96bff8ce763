"""What a start finds of an end in the middle: half-made copies go, removals that began are seen through."""

import os
from contextlib import suppress

from guest_stub.console import printable
from guest_stub.remediation.intention import MAX_BYTES, BadIntention, decode, see_through
from guest_stub.remediation.store import PART, REMOVING, SEALED, Busy, NoSuchEntry, Store


def tidy(store: Store) -> list[str]:
    """Do that, except for what another program is at; a sentence for each that a person should know of."""
    with store.locked():
        for name in os.listdir(store.fd):
            if name.startswith("key.") and name.endswith(PART):
                os.unlink(name, dir_fd=store.fd)
        for id in store.names(PART):
            with suppress(Busy, NoSuchEntry, FileNotFoundError), store.held(id, PART):
                store.forget(id, PART)
        waiting = store.names(REMOVING)
    said = []
    for id in waiting:
        with suppress(Busy, NoSuchEntry, FileNotFoundError), store.held(id, REMOVING) as fd:
            said += _see_through(store, id, fd)
    return said


def _see_through(store: Store, id: str, fd: int) -> list[str]:
    try:
        intention = decode(id, os.read(fd, MAX_BYTES))
    except BadIntention:
        store.forget(id, REMOVING)
        return []
    path = printable(os.fsdecode(intention.path))
    if intention.sealed and id not in store.names(SEALED):
        store.forget(id, REMOVING)  # it was not sealed yet, so nothing happened to the file
        return []
    try:
        became = see_through(intention)
    except OSError as problem:
        return [f"{path}: its removal was interrupted and cannot be ended: {problem.strerror}"]
    store.forget(id, REMOVING)
    return [f"{path}: its removal was interrupted; it {became}"] if became else []
