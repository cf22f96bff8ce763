"""What is known of a file that is removed: how it was judged, what it was, and how an entry keeps both."""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from guest_stub.decision import FileId

MAX_HEADER_BYTES = 1 << 20  # of an entry, as it is written
MAX_XATTR_BYTES = 256 << 10  # of names and values; what is over is left out and named
MAX_THREAT = 512  # characters
_MAX_PATH_BYTES = 8192  # the kernel tells 4,095 at the most
_DIGEST_BYTES = 32


class BadFacts(Exception):
    """These bytes are no entry; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Judged:
    """file: the identity of what was judged. sha256: 32 bytes. path: where it was, for want of a better."""

    file: FileId
    sha256: bytes
    threat: str = ""
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Owner, mode (permission bits), times in nanoseconds, inode flags (chattr), extended attributes.

    Access lists, capabilities and SELinux labels are extended attributes. left_out: names of those that
    were over MAX_XATTR_BYTES or could not be read.
    """

    uid: int
    gid: int
    mode: int
    atime_ns: int
    mtime_ns: int
    flags: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    left_out: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the quarantine. path: b"" where the kernel could not tell it.

    placed: whether the path led to it. names: how many it had (hard links). handle: finds its inode again, if
    that is still there, or b"".
    """

    id: str
    sealed_at_ns: int
    judged: Judged
    attributes: Attributes
    names: int = 1
    handle: bytes = b""
    placed: bool = True

    @property
    def path(self) -> bytes:
        """Where the file was."""
        return self.judged.path

    @property
    def size(self) -> int:
        """Of its content, in bytes."""
        return self.judged.file.size


def encode(entry: Entry) -> bytes:
    """The entry as ASCII JSON."""
    judged, attributes = entry.judged, entry.attributes
    fields = {
        "id": entry.id,
        "sealed_at_ns": entry.sealed_at_ns,
        "sha256": judged.sha256.hex(),
        "threat": judged.threat[:MAX_THREAT],
        "path": _text(judged.path),
        "file": list(judged.file),
        "owner": [attributes.uid, attributes.gid],
        "mode": attributes.mode,
        "times_ns": [attributes.atime_ns, attributes.mtime_ns],
        "flags": attributes.flags,
        "xattrs": [[_text(name), _text(value)] for name, value in attributes.xattrs],
        "left_out": [_text(name) for name in attributes.left_out],
        "names": entry.names,
        "handle": _text(entry.handle),
        "placed": entry.placed,
    }
    return json.dumps(fields).encode()


def decode(data: bytes) -> Entry:
    """The entry of these bytes. Raises BadFacts for anything that encode() does not write."""
    if len(data) > MAX_HEADER_BYTES:
        raise BadFacts(f"{len(data)} bytes, over the bound of {MAX_HEADER_BYTES}")
    try:
        return _entry(json.loads(data))
    except (ValueError, TypeError, KeyError, RecursionError) as problem:
        raise BadFacts(f"no entry of a quarantine: {type(problem).__name__} {problem}") from problem


def _entry(fields: Any) -> Entry:
    dev, ino, size, mtime_ns, ctime_ns = map(_number, fields["file"])
    uid, gid = map(_number, fields["owner"])
    atime_ns, modified_ns = map(_number, fields["times_ns"])
    sha256, path = bytes.fromhex(fields["sha256"]), _bytes(fields["path"])
    if len(sha256) != _DIGEST_BYTES or len(path) > _MAX_PATH_BYTES or size < 0:
        raise ValueError("a digest, a path or a size is out of range")
    attributes = Attributes(
        uid, gid, _number(fields["mode"]) & 0o7777, atime_ns, modified_ns, _number(fields["flags"]),
        tuple((_bytes(name), _bytes(value)) for name, value in fields["xattrs"]),
        tuple(_bytes(name) for name in fields["left_out"]),
    )  # fmt: skip
    judged = Judged(FileId(dev, ino, size, mtime_ns, ctime_ns), sha256, _string(fields["threat"]), path)
    return Entry(
        _string(fields["id"]), _number(fields["sealed_at_ns"]), judged, attributes, _number(fields["names"]),
        _bytes(fields["handle"]), fields["placed"] is True,
    )  # fmt: skip


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes(text: Any) -> bytes:
    return b64decode(_string(text), validate=True)


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no number")
    return value


def _string(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"{value!r} is no text")
    return value
