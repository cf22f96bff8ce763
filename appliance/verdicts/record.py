"""A verdict as bytes, as it lies in the cache.

    version u8 = 1 | disposition u8 | source u8 | lengths of 4 texts: u8 u8 u16 u8
    generation u64 | stored_at u32 | expires_at u32 | threat engine member category | xxh3_64

Little endian. Times are hours since the epoch: coarse on purpose, so that most records are the same
bytes and are checked and decoded once for all (see `store`). The checksum is of everything before it.
"""

import struct

import xxhash

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import MAX_MEMBER_BYTES, MAX_THREAT_BYTES, Verdict

VERSION = 1
HOUR = 3600

_HEAD = struct.Struct("<BBBBBHBQII")
_SUM = struct.Struct("<Q")
_MAX_SHORT = 255


class DamagedRecord(ValueError):
    """The bytes are not a record of this version, or not the ones that were written."""


def encode(verdict: Verdict) -> bytes:
    """Return the record. Texts over their bound are cut; times are cut to the hour."""
    threat = _cut(verdict.threat, min(MAX_THREAT_BYTES, _MAX_SHORT))
    engine = _cut(verdict.engine, _MAX_SHORT)
    member = _cut(verdict.member, MAX_MEMBER_BYTES)
    category = _cut(verdict.category, _MAX_SHORT)
    head = _HEAD.pack(
        VERSION,
        verdict.disposition,
        verdict.source,
        len(threat),
        len(engine),
        len(member),
        len(category),
        verdict.generation,
        verdict.stored_at // HOUR,
        -(-verdict.expires_at // HOUR),
    )
    body = head + threat + engine + member + category
    return body + _SUM.pack(xxhash.xxh3_64_intdigest(body))


def decode(record: bytes) -> Verdict:
    """Return the verdict, or raise DamagedRecord."""
    body, checksum = record[: -_SUM.size], record[-_SUM.size :]
    if len(body) < _HEAD.size or _SUM.pack(xxhash.xxh3_64_intdigest(body)) != checksum:
        raise DamagedRecord("the checksum does not fit the record")
    version, disposition, source, *lengths, generation, stored, expires = _HEAD.unpack_from(body)
    if version != VERSION or len(body) != _HEAD.size + sum(lengths):
        raise DamagedRecord(
            f"a record of version {version}, {len(record)} bytes: this program knows version 1"
        )
    texts, start = [], _HEAD.size
    for length in lengths:
        texts.append(body[start : start + length])
        start += length
    try:
        threat, engine, member, category = (text.decode() for text in texts)
        return Verdict(
            Disposition(disposition),
            Source(source),
            generation,
            stored * HOUR,
            expires * HOUR,
            threat,
            engine,
            member,
            category,
        )
    except ValueError as error:
        raise DamagedRecord(f"a field has no meaning: {error}") from error


def expiry_hour(record: bytes) -> int:
    """Return the hour at which a record that checks ends, 0 for no end."""
    return int(_HEAD.unpack_from(record)[-1])


def _cut(text: str, most: int) -> bytes:
    data = text.encode(errors="replace")
    return data if len(data) <= most else data[:most].decode(errors="ignore").encode()
