"""Handles of files: they find an inode again whatever it is called, on the file system that it is on.

See name_to_handle_at(2). Opening by one is for root. A handle carries the inode's generation, so that
it does not lead to another file that has got the same number.
"""

import ctypes
import errno
import os
from functools import cache
from struct import Struct

_AT_EMPTY_PATH = 0x1000
_HEAD = Struct("=Ii")  # length of the handle, its type
_LENGTH = Struct("=I")
_MAX_HANDLE_BYTES = 128
MOST_BYTES = _HEAD.size + _MAX_HANDLE_BYTES


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def handle_of(fd: int) -> bytes:
    """The handle of an open file; b"" where the file system has none."""
    buffer = ctypes.create_string_buffer(_HEAD.pack(_MAX_HANDLE_BYTES, 0), _HEAD.size + _MAX_HANDLE_BYTES)
    mount = ctypes.c_int()
    if _libc().name_to_handle_at(fd, b"", buffer, ctypes.byref(mount), _AT_EMPTY_PATH) != 0:
        return b""
    length, _ = _HEAD.unpack_from(buffer)
    return buffer.raw[: _HEAD.size + length]


def open_handle(beside: int, handle: bytes, flags: int) -> int:
    """Open the file of a handle; beside: any open file or directory on its file system. Raises OSError."""
    if not _HEAD.size < len(handle) <= _HEAD.size + _MAX_HANDLE_BYTES:
        raise OSError(errno.ESTALE, "is no handle of a file")
    length = len(handle) - _HEAD.size
    buffer = ctypes.create_string_buffer(_LENGTH.pack(length) + handle[_LENGTH.size :], len(handle))
    fd: int = _libc().open_by_handle_at(beside, buffer, flags | os.O_CLOEXEC)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd
