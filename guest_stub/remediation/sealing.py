"""Puts a file, known by an open descriptor, into the quarantine, and then takes it away from where it was.

The order is what makes a kill at any moment harmless: the sealed copy is whole and on the disk, and it is
written down that the file is being removed, before anything happens to the file.
"""

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress

from guest_stub.reading import begin, read_quietly
from guest_stub.remediation.attributes import attributes_of
from guest_stub.remediation.cipher import Key
from guest_stub.remediation.facts import Entry, Judged, encode
from guest_stub.remediation.handles import handle_of
from guest_stub.remediation.intention import Intention, write
from guest_stub.remediation.removal import (
    Changed,
    Removed,
    beside,
    check_there,
    check_unchanged,
    leads_to,
    path_of,
    remove,
)
from guest_stub.remediation.sealed import PIECE_BYTES, SealWriter, sealed_bytes
from guest_stub.remediation.store import PART, REMOVING, SEALED, Store

MakeRoom = Callable[[int], list[str]]  # see Room.make
_ID_BYTES = 6


def new_id() -> str:
    """What nobody can guess."""
    return os.urandom(_ID_BYTES).hex()


def judged_path(fd: int, judged: Judged) -> bytes:
    """Where the file is: by the kernel's word, else by the caller's."""
    told = path_of(fd)
    return told if told.startswith(b"/") else judged.path


def read_judged(fd: int, judged: Judged, take: Callable[[memoryview], None]) -> None:
    """Hand over the content piece by piece. Raises Changed where it is not what was judged, OSError.

    Only the whole of it is known to be right, so take() has to be able to throw away what it got.
    """
    check_there(fd, judged)
    size, digest, view = judged.file.size, hashlib.sha256(), memoryview(bytearray(PIECE_BYTES))
    begin(fd, size)
    for position in range(0, size, PIECE_BYTES):
        piece = view[: min(PIECE_BYTES, size - position)]
        if read_quietly(fd, piece, position) != len(piece):
            raise Changed("it became shorter while it was read")
        digest.update(piece)
        take(piece)
    if digest.digest() != judged.sha256:
        raise Changed("its content is not what was judged")
    check_unchanged(fd, judged)


def describe(fd: int, judged: Judged, now_ns: int) -> Entry:
    """The entry of a file. Raises Changed and OSError."""
    status = check_there(fd, judged)
    where = Judged(judged.file, judged.sha256, judged.threat, judged_path(fd, judged))
    placed = leads_to(where.path, fd)
    return Entry(new_id(), now_ns, where, attributes_of(fd), status.st_nlink, handle_of(fd), placed)


def seal_and_remove(
    store: Store, key: Key, make_room: MakeRoom, fd: int, entry: Entry
) -> tuple[Removed, list[str]]:
    """Seal the file of this descriptor and remove it; what was removed, and what had to go for it.

    make_room: called with the bytes to come, within Store.locked(); says what had to go; may raise TooLarge.
    Raises TooLarge, Changed or OSError: then the file is where it was, and there is no entry of it.
    """
    expected = sealed_bytes(len(encode(entry)), entry.size)
    with store.locked():
        dropped = make_room(expected)
        part = store.make(entry.id, PART, expected)
    intent = Intention(entry.id, entry.path, entry.judged.file, sealed=True)
    try:
        _write(part, key, fd, entry)
        removed = _remove(store, fd, (intent, entry.judged), lambda: store.seal(entry.id))
    except (OSError, Changed):
        for ending in (PART, SEALED):
            with suppress(OSError):
                store.forget(entry.id, ending)
        raise
    finally:
        os.close(part)
    return removed, dropped


def delete(store: Store, fd: int, judged: Judged) -> Removed:
    """Remove the file of this descriptor for good. Raises Changed or OSError: then it is where it was."""
    read_judged(fd, judged, lambda _: None)
    intent = Intention(new_id(), judged_path(fd, judged), judged.file, sealed=False)
    return _remove(store, fd, (intent, judged), lambda: None)


def _write(part: int, key: Key, fd: int, entry: Entry) -> None:
    writer = SealWriter(part, key)
    writer.header(encode(entry))
    read_judged(fd, entry.judged, writer.content)
    writer.end(entry.size, entry.judged.sha256)
    if os.lseek(part, 0, os.SEEK_CUR) != os.fstat(part).st_size:
        raise OSError(errno.EIO, "a sealed file has another size than was reckoned")
    os.utime(part, ns=(entry.sealed_at_ns, entry.sealed_at_ns))  # by which its age is known
    os.fsync(part)


def _remove(store: Store, fd: int, what: tuple[Intention, Judged], before: Callable[[], None]) -> Removed:
    """Write the removal down, call before(), remove. Raises Changed and OSError, as remove() does."""
    intent, judged = what
    with store.locked():
        mark = store.make(intent.id, REMOVING)
    try:
        write(mark, intent)
        os.fsync(store.fd)
        before()
        removed = remove(fd, judged, beside(intent.id))
        with suppress(OSError):  # it is removed, whatever becomes of the note
            store.forget(intent.id, REMOVING)
        return removed
    except (OSError, Changed):
        with suppress(OSError):
            store.forget(intent.id, REMOVING)
        raise
    finally:
        os.close(mark)
