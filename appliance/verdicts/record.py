"""A verdict as bytes, as it lies in the cache.

    version u8 = 1 | disposition << 4 + source u8 | generation u64 | stored_at u32 | expires_at u32
    where it has any text: lengths u8 u8 u16 u8, then threat engine member category
    xxh3_64 of everything before, big endian

Little endian but for the checksum. Times are hours since the epoch: coarse on purpose, so that most
records are the same 26 bytes and are checked and decoded once for all (see `store`).
"""

import struct
from functools import lru_cache

import xxhash

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict

VERSION = 1
HOUR = 3600
MAX_SHORT_TEXT = 255  # bytes of a threat, an engine or a category; a longer one is cut
MAX_MEMBER_BYTES = 128  # of a longer one the end is kept: guests choose its length, and fill what is for all

_HEAD = struct.Struct("<BBQII")
_LENGTHS = struct.Struct("<BBHB")
_SUM_BYTES = 8
_LAST_HOUR = 0xFFFFFFFF
_ALL_BITS = 0xFFFFFFFFFFFFFFFF


class DamagedRecord(ValueError):
    """The bytes are not a record of this version, or not the ones that were written."""


@lru_cache(maxsize=64)  # those without texts differ in little
def encode(verdict: Verdict) -> bytes:
    """Return the record. stored_at is cut to the hour, expires_at raised to it; long texts are cut."""
    body = _HEAD.pack(
        VERSION,
        verdict.disposition << 4 | verdict.source,
        verdict.generation & _ALL_BITS,
        _hour(verdict.stored_at),
        _hour(verdict.expires_at + HOUR - 1),
    )
    if verdict.threat or verdict.engine or verdict.member or verdict.category:
        texts = (
            _cut(verdict.threat, MAX_SHORT_TEXT),
            _cut(verdict.engine, MAX_SHORT_TEXT),
            _end_of(verdict.member, MAX_MEMBER_BYTES),
            _cut(verdict.category, MAX_SHORT_TEXT),
        )
        body += _LENGTHS.pack(*map(len, texts)) + b"".join(texts)
    return body + xxhash.xxh3_64_digest(body)


def decode(record: bytes) -> Verdict:
    """Return the verdict, or raise DamagedRecord."""
    body = record[:-_SUM_BYTES]
    if len(body) < _HEAD.size or xxhash.xxh3_64_digest(body) != record[-_SUM_BYTES:]:
        raise DamagedRecord("the checksum does not fit the record")
    version, kind, generation, stored, expires = _HEAD.unpack_from(body)
    if version != VERSION:
        raise DamagedRecord(f"a record of version {version}: this program knows version {VERSION}")
    try:
        threat, engine, member, category = _texts(body[_HEAD.size :])
        return Verdict(
            Disposition(kind >> 4),
            Source(kind & 0xF),
            generation,
            stored * HOUR,
            expires * HOUR,
            threat,
            engine,
            member,
            category,
        )
    except (ValueError, struct.error) as error:
        raise DamagedRecord(f"a field has no meaning: {error}") from error


def _texts(data: bytes) -> list[str]:
    """Threat, engine, member and category, from the part of a record that may be left out."""
    if not data:
        return [""] * 4
    lengths = _LENGTHS.unpack_from(data)
    if len(data) != _LENGTHS.size + sum(lengths):
        raise ValueError(f"{len(data)} bytes of texts, whose lengths are said to be {lengths}")
    texts, start = [], _LENGTHS.size
    for length in lengths:
        texts.append(data[start : start + length].decode())
        start += length
    return texts


def _hour(seconds: int) -> int:
    return min(max(int(seconds // HOUR), 0), _LAST_HOUR)


def _cut(text: str, most: int) -> bytes:
    """The text in at most so many bytes of UTF-8, no character of it halved."""
    data = text.encode(errors="backslashreplace")  # a member's name need not be UTF-8
    return data if len(data) <= most else data[:most].decode(errors="ignore").encode()


def _end_of(text: str, most: int) -> bytes:
    """The same, but the end of it, which names the file itself, behind three dots."""
    data = text.encode(errors="backslashreplace")
    return data if len(data) <= most else b"..." + data[3 - most :].decode(errors="ignore").encode()
