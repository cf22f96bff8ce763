"""Bytes of a kept decision: a key, a stamp that must match wholly, what was decided, and a checksum. No I/O.

key      dev u32, ino u64, both big-endian, so that keys sort as a disk lays out its inodes     12 bytes
value    format u8, size u64, mtime_ns i64, ctime_ns i64 (the stamp)                            25 bytes
         generation u64, valid_until u32 in seconds since the epoch, outcome u8, sha256         45 bytes
         "threat\\0engine\\0member\\0category" in UTF-8, of a detection only
         xxh3_64 of all before it                                                                8 bytes

An outcome of 0 means that only the digest is known: the SVM is asked, the file is not read again.
"""

from struct import Struct, error
from typing import NamedTuple

from xxhash import xxh3_64_digest

from guest_stub.decision import FileId
from guest_stub.outcome import VERDICTS

FORMAT = 1
DIGEST_ONLY = 0

_KEY = Struct(">IQ")
_STAMP = Struct("<BQqq")
_BODY = Struct("<QIB32s")
KEY_BYTES, STAMP_BYTES = _KEY.size, _STAMP.size
_SUM_BYTES = 8
_BODY_END = _STAMP.size + _BODY.size
_SHA256 = slice(_BODY_END - 32, _BODY_END)
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_MAX_TEXT_BYTES = 1900  # a threat, an engine, a member and a category at their wire limits

# For the walk's inner loop, which packs the fields of each file itself.
pack_key = _KEY.pack
pack_stamp = _STAMP.pack
PackError = error


class Record(NamedTuple):
    """A value of the store, taken apart. outcome: a verdict's number, or DIGEST_ONLY.

    A tuple and not a dataclass, since one is made for each file of each walk.
    """

    generation: int
    valid_until: int
    outcome: int
    sha256: bytes
    texts: bytes = b""

    def counts(self, generation: int, now: float) -> bool:
        """Whether it still answers for the file: of the generation in force, and not older than it may be."""
        return self.outcome != DIGEST_ONLY and self.generation == generation and now < self.valid_until

    def said(self) -> tuple[str, str, str, str]:
        """(threat, engine, member, category) of a detection; empty strings where nothing was detected."""
        threat, engine, member, category, *_ = [
            *self.texts.decode("utf-8", "replace").split("\0"),
            "",
            "",
            "",
        ]
        return threat, engine, member, category


class Seen(NamedTuple):
    """A file as it was when it had a content. outcome: what was on record of it, as a Record's."""

    key: bytes
    stamp: bytes
    sha256: bytes
    outcome: int = DIGEST_ONLY


def identify(file: FileId) -> tuple[bytes, bytes]:
    """(key, stamp) of a file, for whatever numbers a file system reports.

    Numbers out of range are taken modulo their width: times 584 years apart look the same.
    """
    try:
        return pack_key(file.dev, file.ino), pack_stamp(FORMAT, file.size, file.mtime_ns, file.ctime_ns)
    except error:
        key = pack_key(file.dev & _U32, file.ino & _U64)
        return key, pack_stamp(FORMAT, file.size & _U64, _signed(file.mtime_ns), _signed(file.ctime_ns))


def sha256_of(value: bytes) -> bytes:
    """The digest in a value, unchecked: for looking through many."""
    return value[_SHA256]


def seen(key: bytes, value: bytes) -> Seen | None:
    """The file of an entry; None for one that is damaged or of another format."""
    record = decode(value)
    return None if record is None else Seen(key, value[: _STAMP.size], record.sha256, record.outcome)


def device_of(key: bytes) -> int:
    """The st_dev of a key, modulo 2**32."""
    return int(_KEY.unpack(key)[0])


def inode_of(key: bytes) -> int:
    """The inode number of a key."""
    return int(_KEY.unpack(key)[1])


def changed_ns(stamp: bytes) -> int:
    """When the file of a stamp was changed last, in nanoseconds since the epoch."""
    return int(_STAMP.unpack(stamp)[3])


def texts(threat: str, engine: str, member: str, category: str = "") -> bytes:
    """What a record says of a detection."""
    return "\0".join((threat, engine, member, category)).encode("utf-8", "replace")[:_MAX_TEXT_BYTES]


def encode(stamp: bytes, record: Record) -> bytes:
    """The value that keeps this record of the file of this stamp."""
    generation, valid_until, outcome, sha256, said = record
    value = stamp + _BODY.pack(generation, min(valid_until, _U32), outcome, sha256) + said
    return value + xxh3_64_digest(value)


def digest_only(sha256: bytes) -> Record:
    """No more than the digest, where no verdict may be kept."""
    return Record(0, 0, DIGEST_ONLY, sha256)


def without_verdict(value: bytes) -> bytes:
    """The value that keeps no more than the digest of one with a verdict; others stay as they are."""
    record = decode(value)
    if record is None or record.outcome not in VERDICTS:
        return value
    return encode(value[: _STAMP.size], digest_only(record.sha256))


def decode(value: bytes) -> Record | None:
    """Take a value apart; None for one that is damaged or of another format."""
    if len(value) < _BODY_END + _SUM_BYTES or value[0] != FORMAT:
        return None
    if xxh3_64_digest(value[:-_SUM_BYTES]) != value[-_SUM_BYTES:]:
        return None
    generation, valid_until, outcome, sha256 = _BODY.unpack_from(value, _STAMP.size)
    if outcome != DIGEST_ONLY and outcome not in VERDICTS:
        return None
    return Record(generation, valid_until, outcome, sha256, value[_BODY_END:-_SUM_BYTES])


def _signed(number: int) -> int:
    """The number modulo 2**64, as a signed one."""
    return ((number + (1 << 63)) & _U64) - (1 << 63)
