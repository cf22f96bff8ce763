"""Who is at the other end of a socket: the QEMU of a machine, or that of another one."""

import socket
import struct
from pathlib import Path
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: process, user, group
_MOST_BYTES: Final = 2 << 20  # of a command line, as much as Linux allows by default


def uuid_of_peer(line: socket.socket) -> str:
    """The UUID of the machine whose QEMU serves a connection, "" where that cannot be had.

    libvirt starts every QEMU with `-uuid`; the kernel says which process listens.
    """
    try:
        told = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process = _CREDENTIALS.unpack(told)[0]
        with Path(f"/proc/{process}/cmdline").open("rb") as file:
            words = file.read(_MOST_BYTES).split(b"\0")
        return words[words.index(b"-uuid") + 1].decode("ascii", "replace").lower()
    except (OSError, ValueError, IndexError):
        return ""
