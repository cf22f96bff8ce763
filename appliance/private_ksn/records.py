"""The bytes in a feed's file: small, since there are ten million of them. No I/O.

    record   1, zone, label u32, first_seen u32, xxh32            14 bytes behind a key of 33
    alias    2, SHA-256, xxh32                                    behind an MD5 or a SHA-1
    label    JSON [threat, category, name]                        under its number, u32 big endian

Texts are the same for thousands of files, so a record names them by a number; 0 stands for no text.
The checksum is over key and value: a record that does not fit it is as if it were not there.
"""

import json
import struct

import xxhash

from appliance.private_ksn.reputation import Reputation, Zone

RECORD = 1
ALIAS = 2
NO_LABEL = 0
MAX_TEXT_LETTERS = 200

_RECORD = struct.Struct("<BBII")
_SUM = struct.Struct("<I")
_MAX_TIME = 0xFFFFFFFF
_ZONES = {int(zone): zone for zone in Zone}


def encode_record(key: bytes, zone: Zone, label: int, first_seen: int) -> bytes:
    """The value under a key. first_seen: seconds since the epoch; what does not fit counts as not known."""
    body = _RECORD.pack(RECORD, zone, label, first_seen if 0 <= first_seen <= _MAX_TIME else 0)
    return body + _SUM.pack(xxhash.xxh32_intdigest(key + body))


def encode_alias(key: bytes, sha256: bytes) -> bytes:
    """The value under an MD5 or a SHA-1 of a file whose SHA-256 is known too."""
    body = bytes((ALIAS,)) + sha256
    return body + _SUM.pack(xxhash.xxh32_intdigest(key + body))


def decode_record(key: bytes, value: bytes) -> tuple[Zone, int, int] | None:
    """Zone, label and first_seen; None where the value does not fit its checksum or is no record."""
    body = value[: -_SUM.size]
    if len(body) != _RECORD.size or _SUM.pack(xxhash.xxh32_intdigest(key + body)) != value[-_SUM.size :]:
        return None
    form, zone, label, first_seen = _RECORD.unpack(body)
    return (_ZONES[zone], label, first_seen) if form == RECORD and zone in _ZONES else None


def decode_alias(key: bytes, value: bytes) -> bytes | None:
    """The SHA-256 that an alias stands for; None where the value is none, or does not fit its checksum."""
    body = value[: -_SUM.size]
    if len(body) != 33 or body[0] != ALIAS:
        return None
    return body[1:] if _SUM.pack(xxhash.xxh32_intdigest(key + body)) == value[-_SUM.size :] else None


def encode_label(reputation: Reputation) -> bytes:
    """The texts of a reputation, each cut to MAX_TEXT_LETTERS."""
    texts = [text[:MAX_TEXT_LETTERS] for text in (reputation.threat, reputation.category, reputation.name)]
    # Half of a surrogate pair can stand in JSON that a feed brought; it is no text that UTF-8 has.
    return json.dumps(texts).encode()


def decode_label(value: bytes) -> tuple[str, str, str]:
    """Threat, category and name."""
    threat, category, name = json.loads(value)
    return threat, category, name
