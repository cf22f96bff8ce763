"""What of a disk was written to since a checkpoint, as QEMU tells it on a connection of its own.

Structured replies and block status of the Network Block Device protocol
(https://github.com/NetworkBlockDevice/nbd, doc/proto.md), with the context `qemu:dirty-bitmap:NAME` of QEMU's
docs/interop/nbd.txt.
"""

import socket
import struct
from collections.abc import Iterator
from typing import Final

from appliance.disk_reader.bounds import Patience
from appliance.disk_reader.dirty import Dirty
from appliance.disk_reader.nbd import NbdFailed, go, greet, option, taken

_OPT_STRUCTURED_REPLY, _OPT_SET_META_CONTEXT, _REP_META_CONTEXT = 8, 10, 4
_REQUEST, _STRUCTURED_REPLY, _BLOCK_STATUS = 0x25609513, 0x668E33EF, 7
_DONE, _TYPE_NONE, _TYPE_BLOCK_STATUS = 1, 0, 5
_MAX_REPLY_BYTES: Final = 1 << 20
_STEP_BYTES: Final = 1 << 30
_DIRTY: Final = 1


def changes_of(fd: int, export: str, bitmap: str, size: int, patience: Patience) -> Dirty:
    """What a bitmap of an export says. fd: of a connected socket, which is closed. size: of the disk.

    Raises NbdFailed and TookTooLong.
    """
    with socket.socket(fileno=fd) as line:
        line.setblocking(True)
        with patience.for_step():
            context = _agreed(line, export.encode(), f"qemu:dirty-bitmap:{bitmap}".encode(), size)
        dirty, at = Dirty(), 0
        while at < size:
            with patience.for_step():
                told = list(_asked(line, at, min(_STEP_BYTES, size - at), context))
            if not told:
                raise NbdFailed("the server of the disk does not tell what was changed")
            for some, flags in told:
                length = min(some, size - at)
                if flags & _DIRTY and length:
                    dirty.add(at, length)
                at += length
    return dirty


def _agreed(line: socket.socket, export: bytes, context: bytes, size: int) -> int:
    """The number of the context."""
    greet(line)
    for _ in option(line, _OPT_STRUCTURED_REPLY, b""):
        raise NbdFailed("the server of the disk does not tell what was changed")
    asked = struct.pack(">I", len(export)) + export + struct.pack(">II", 1, len(context)) + context
    number = -1
    for kind, said in option(line, _OPT_SET_META_CONTEXT, asked):
        if kind == _REP_META_CONTEXT and said[4:] == context:
            number = struct.unpack_from(">I", said)[0]
    if number < 0:
        raise NbdFailed("the server of the disk does not know the bitmap of what was changed")
    if go(line, export) != size:
        raise NbdFailed("the server of the disk tells of changes to another disk")
    return number


def _asked(line: socket.socket, at: int, length: int, context: int) -> Iterator[tuple[int, int]]:
    """Bytes and flags of what lies one behind the other from there on; it may be less than was asked for."""
    line.sendall(struct.pack(">IHHQQI", _REQUEST, 0, _BLOCK_STATUS, at, at, length))
    done = told = False
    while not done:
        magic, flags, kind, handle, size = struct.unpack(">IHHQI", taken(line, 20))
        if magic != _STRUCTURED_REPLY or handle != at or size > _MAX_REPLY_BYTES:
            raise NbdFailed("the server of the disk answers what was not asked")
        said, done = taken(line, size), bool(flags & _DONE)
        if kind == _TYPE_BLOCK_STATUS:
            if told or size < 4 or size % 8 != 4 or struct.unpack_from(">I", said)[0] != context:
                raise NbdFailed("the server of the disk tells of changes that were not asked for")
            told = True
            yield from _parts(said)
        elif kind != _TYPE_NONE:
            raise NbdFailed("the server of the disk cannot tell what was changed")


def _parts(said: bytes) -> Iterator[tuple[int, int]]:
    for length, flags in struct.iter_unpack(">II", said[4:]):
        if not length:
            raise NbdFailed("the server of the disk tells of a part without a length")
        yield length, flags
