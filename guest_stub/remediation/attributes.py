"""What a file is beside its content, read from a descriptor and given to another file."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from struct import Struct

from guest_stub.remediation.facts import MAX_XATTR_BYTES, Attributes

# ioctl_iflags(2). The number's size is that of a long, what it points at is an int.
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # of x86-64, aarch64, riscv64, s390x
_FLAGS = Struct("=I")
IMMUTABLE, APPEND_ONLY = 0x10, 0x20
_KEPT_FLAGS = IMMUTABLE | APPEND_ONLY | 0x8 | 0x40 | 0x80  # sync, no dump, no atime
_INHERITED = b"system.posix_acl_access"
_FIRST = (b"security.", b"system.", b"trusted.")  # what decides on rights, before what anybody can add


def attributes_of(fd: int) -> Attributes:
    """Read them; raises OSError only where fstat does."""
    status = os.fstat(fd)
    xattrs, left_out = _xattrs(fd)
    return Attributes(
        status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_atime_ns, status.st_mtime_ns,
        flags_of(fd) & _KEPT_FLAGS, xattrs, left_out,
    )  # fmt: skip


def _xattrs(fd: int) -> tuple[tuple[tuple[bytes, bytes], ...], tuple[bytes, ...]]:
    try:
        names = [os.fsencode(name) for name in os.listxattr(fd)]
    except OSError as problem:
        return (), () if problem.errno == errno.ENOTSUP else (b"what extended attributes it had",)
    kept, left_out, room = [], [], MAX_XATTR_BYTES
    for name in sorted(names, key=lambda name: not name.startswith(_FIRST)):
        try:
            value = os.getxattr(fd, name)
        except OSError:
            left_out.append(name)
            continue
        room -= len(name) + len(value)
        if room < 0:
            left_out.append(name)
        else:
            kept.append((name, value))
    return tuple(kept), tuple(left_out)


def give(fd: int, attributes: Attributes) -> list[str]:
    """Give a file all but its flags; what was not possible, as sentences. Never raises for a refusal.

    The order counts: an owner's change takes set-user-ID and capabilities, a mode changes the access list.
    """
    refused: list[str] = []
    wanted, mode = dict(attributes.xattrs), attributes.mode
    with suppress(OSError):
        if _INHERITED not in wanted:  # from the directory, to whom it would give rights that nobody had
            os.removexattr(fd, _INHERITED)
    owner = f"the owner {attributes.uid}:{attributes.gid}"
    if not _done(refused, owner, lambda: os.fchown(fd, attributes.uid, attributes.gid)):
        mode &= 0o777  # set-user-ID would be for the wrong user
    _done(refused, f"the mode {mode:o}", lambda: os.fchmod(fd, mode))
    for name, value in wanted.items():
        _done(refused, os.fsdecode(name), partial(os.setxattr, fd, name, value))
    times = (attributes.atime_ns, attributes.mtime_ns)
    _done(refused, "the times", lambda: os.utime(fd, ns=times))
    return refused + [f"{os.fsdecode(name)} was not kept" for name in attributes.left_out]


def flags_of(fd: int) -> int:
    """The inode's flags; 0 where the file system has none."""
    try:
        return int(_FLAGS.unpack(fcntl.ioctl(fd, _GET_FLAGS, bytes(_FLAGS.size)))[0])
    except OSError:
        return 0


def set_flags(fd: int, flags: int) -> None:
    """Set the inode's flags among those that are kept, leaving others. Raises OSError."""
    whole = flags_of(fd) & ~_KEPT_FLAGS | flags & _KEPT_FLAGS
    fcntl.ioctl(fd, _SET_FLAGS, _FLAGS.pack(whole))


def _done(refused: list[str], what: str, action: Callable[[], None]) -> bool:
    try:
        action()
    except OSError as problem:
        refused.append(f"{what} could not be given back: {problem.strerror}")
        return False
    return True
