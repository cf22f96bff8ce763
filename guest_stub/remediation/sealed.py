"""The bytes of a sealed file: a beginning, the entry, the content in pieces, the end. All but the first is
encrypted. A reader believes nothing that does not check, so that a file that is cut, swapped or changed is
found out.

    beginning   8 bytes magic with the version, 8 bytes id of the key, 32 random bytes
    frame       1 byte kind, 4 bytes length of what follows (big-endian), sealed under both
    kinds       1 the entry (facts.encode), once and first; 2 content; 3 size (8 bytes) and SHA-256, last
"""

import hashlib
import os
from collections.abc import Iterator
from struct import Struct

from guest_stub.remediation.cipher import TAG_BYTES, FileKey, Forged, Key
from guest_stub.remediation.done import Refused
from guest_stub.remediation.facts import MAX_HEADER_BYTES, BadFacts, Entry, decode

MAGIC = b"KVMLAQ\x00\x01"
PIECE_BYTES = 1 << 20  # of content in a frame
_SALT_BYTES = 32
_BEGINNING_BYTES = len(MAGIC) + 8 + _SALT_BYTES
_FRAME = Struct(">BI")
_END = Struct(">Q32s")
_ENTRY_KIND, _CONTENT_KIND, _END_KIND = 1, 2, 3
_OVERHEAD = _FRAME.size + TAG_BYTES


class Damaged(Refused):
    """A sealed file cannot be opened; the message says what is wrong."""


def sealed_bytes(header: int, size: int) -> int:
    """How long a sealed file is, of a header and a content of these many bytes."""
    pieces = -(-size // PIECE_BYTES)
    return _BEGINNING_BYTES + header + size + _END.size + _OVERHEAD * (pieces + 2)


class SealWriter:
    """Writes a sealed file from the beginning: header(), content() again and again, end()."""

    def __init__(self, fd: int, key: Key) -> None:
        """fd: open for writing at its beginning. Raises OSError, as every method does."""
        self._fd = fd
        beginning = MAGIC + key.id + os.urandom(_SALT_BYTES)
        self._key = key.of_file(beginning)
        write_all(fd, beginning)

    def header(self, header: bytes) -> None:
        """What facts.encode made of the entry."""
        self._frame(_ENTRY_KIND, header)

    def content(self, piece: bytes | memoryview) -> None:
        """The next PIECE_BYTES, or the rest."""
        self._frame(_CONTENT_KIND, piece)

    def end(self, size: int, sha256: bytes) -> None:
        """Without it nothing of the file counts."""
        self._frame(_END_KIND, _END.pack(size, sha256))

    def _frame(self, kind: int, piece: bytes | memoryview) -> None:
        label = _FRAME.pack(kind, len(piece) + TAG_BYTES)
        write_all(self._fd, label + self._key.seal(piece, label))


class SealReader:
    """Reads a sealed file: entry() first, then content()."""

    def __init__(self, fd: int, key: Key | None) -> None:
        """fd: open for reading at its beginning. Raises Damaged and OSError, as every method does."""
        self._fd = fd
        self._key = _key_of(_read_all(fd, _BEGINNING_BYTES), key)

    def entry(self, id: str) -> Entry:
        """What is known of the file. id: whose entry it has to be."""
        kind, header = self._frame()
        if kind != _ENTRY_KIND:
            raise Damaged("it does not begin with its entry")
        try:
            entry = decode(header)
        except BadFacts as problem:
            raise Damaged(str(problem)) from problem
        if entry.id != id:
            raise Damaged(f"it is the entry {entry.id}, under another name")
        return entry

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The content piece by piece. Whoever stops before it ends knows nothing: what is missing or wrong is
        raised where it is met, the digest's mismatch last of all.
        """
        size, digest = 0, hashlib.sha256()
        while True:
            kind, piece = self._frame()
            if kind != _CONTENT_KIND:
                break
            size += len(piece)
            digest.update(piece)
            yield piece
        if kind != _END_KIND or piece != _END.pack(size, digest.digest()) or os.read(self._fd, 1):
            raise Damaged("its end does not match its content")
        if digest.digest() != entry.judged.sha256 or size != entry.size:
            raise Damaged("its content is not that of its entry")

    def _frame(self) -> tuple[int, bytes]:
        label = _read_all(self._fd, _FRAME.size)
        kind, length = _FRAME.unpack(label)
        bound = MAX_HEADER_BYTES if kind == _ENTRY_KIND else PIECE_BYTES
        if not TAG_BYTES <= length <= bound + TAG_BYTES:
            raise Damaged("a length in it is out of range")
        try:
            return kind, self._key.open(_read_all(self._fd, length), label)
        except Forged:
            raise Damaged("it was changed since it was sealed") from None


def _key_of(beginning: bytes, key: Key | None) -> FileKey:
    if not beginning.startswith(MAGIC[:-1]):
        raise Damaged("it is no sealed file")
    if not beginning.startswith(MAGIC):
        raise Damaged(
            f"its format {beginning[len(MAGIC) - 1]} is not known here: a newer guest-stub may open it"
        )
    if key is None or beginning[len(MAGIC) : len(MAGIC) + len(key.id)] != key.id:
        raise Damaged("it was sealed with another key than the quarantine's: put that key back")
    return key.of_file(beginning)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it; raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int, length: int) -> bytes:
    """So many bytes. Raises Damaged where the file ends before."""
    parts = []
    while length and (part := os.read(fd, length)):
        parts.append(part)
        length -= len(part)
    if length:
        raise Damaged("it ends too early")
    return b"".join(parts)
