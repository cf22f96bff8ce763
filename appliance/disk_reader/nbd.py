"""A disk that QEMU serves by the Network Block Device protocol, on a socket that is connected already.

The fixed newstyle handshake, then reads with simple replies, as in the protocol's own description
(https://github.com/NetworkBlockDevice/nbd, doc/proto.md). What was changed is asked on another connection:
`nbd_changes`.
"""

import socket
import struct
from collections.abc import Iterator
from typing import Final

from dissect.util.stream import AlignedStream

from appliance.disk_reader.bounds import DiskGone

_ALIGN: Final = 256 << 10
MAX_READ_BYTES: Final = 32 << 20
_NBDMAGIC: Final = 0x4E42444D41474943
_IHAVEOPT: Final = 0x49484156454F5054
_OPTION_REPLY: Final = 0x3E889045565A9
_REQUEST, _SIMPLE_REPLY = 0x25609513, 0x67446698
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_OPT_GO, _REP_ACK, _REP_INFO, _INFO_EXPORT = 7, 1, 3, 0
_MAX_OPTION_BYTES: Final = 64 << 10
_MOST_OPTION_REPLIES: Final = 64


_GONE: Final = "the server of the disk has gone: the machine ended, or its backup was ended"


class NbdFailed(DiskGone):
    """The server does not give the disk, or has gone. The text says what happened."""


class NbdStream(AlignedStream):  # type: ignore[misc]  # the library has no types
    """A disk that is served."""

    def __init__(self, fd: int, export: str) -> None:
        """fd: of the connected socket. export: the name of the disk there."""
        self._line = socket.socket(fileno=fd)
        self._line.setblocking(True)
        self._handle = 0
        try:
            size = _negotiated(self._line, export.encode())
        except BaseException:
            self._line.close()
            raise
        super().__init__(size, _ALIGN)

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def _read(self, offset: int, length: int) -> bytes:
        length, parts = min(length, self.size - offset), []
        while length > 0:
            some = min(length, MAX_READ_BYTES)
            parts.append(self._one(offset, some))
            offset, length = offset + some, length - some
        return b"".join(parts)

    def _one(self, offset: int, length: int) -> bytes:
        self._handle += 1
        sent(self._line, struct.pack(">IHHQQI", _REQUEST, 0, 0, self._handle, offset, length))
        magic, error, handle = struct.unpack(">IIQ", taken(self._line, 16))
        if magic != _SIMPLE_REPLY or handle != self._handle:
            raise NbdFailed("the server of the disk answers what was not asked")
        if error:
            raise NbdFailed(f"the server of the disk cannot read it (error {error})")
        return taken(self._line, length)


def _negotiated(line: socket.socket, export: bytes) -> int:
    """Agree on the export; its size in bytes."""
    greet(line)
    return go(line, export)


def greet(line: socket.socket) -> None:
    """Begin, as far as where options are agreed on."""
    magic, have, flags = struct.unpack(">QQH", taken(line, 18))
    if magic != _NBDMAGIC or have != _IHAVEOPT or not flags & _FIXED_NEWSTYLE:
        raise NbdFailed("what answers there is no server of disks")
    sent(line, struct.pack(">I", _FIXED_NEWSTYLE | (flags & _NO_ZEROES)))


def go(line: socket.socket, export: bytes) -> int:
    """Take an export, which ends the options; its size in bytes."""
    size = 0
    for kind, said in option(line, _OPT_GO, struct.pack(">I", len(export)) + export + struct.pack(">H", 0)):
        if kind != _REP_INFO:
            raise NbdFailed(f"the server has no disk of the name {export.decode(errors='replace')}")
        if len(said) >= 10 and struct.unpack_from(">H", said)[0] == _INFO_EXPORT:
            size = struct.unpack_from(">Q", said, 2)[0]
    return size


def option(line: socket.socket, number: int, asked: bytes) -> Iterator[tuple[int, bytes]]:
    """Ask for an option; kind and bytes of each answer, up to the one that says yes."""
    sent(line, struct.pack(">QII", _IHAVEOPT, number, len(asked)) + asked)
    for _ in range(_MOST_OPTION_REPLIES):
        magic, _option, kind, length = struct.unpack(">QIII", taken(line, 20))
        if magic != _OPTION_REPLY or length > _MAX_OPTION_BYTES:
            raise NbdFailed("the server of the disk does not speak the protocol")
        said = taken(line, length)
        if kind == _REP_ACK:
            return
        yield kind, said
    raise NbdFailed("the server of the disk does not come to an end")


def sent(line: socket.socket, data: bytes) -> None:
    """Ask for something."""
    try:
        line.sendall(data)
    except OSError as error:
        raise NbdFailed(_GONE) from error


def taken(line: socket.socket, length: int) -> bytes:
    """Exactly so many bytes."""
    data, at = bytearray(length), 0
    view = memoryview(data)
    while at < length:
        try:
            came = line.recv_into(view[at:], min(length - at, 1 << 20))
        except OSError as error:
            raise NbdFailed(_GONE) from error
        if not came:
            raise NbdFailed(_GONE)
        at += came
    return bytes(data)
