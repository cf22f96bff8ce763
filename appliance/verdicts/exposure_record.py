"""Which guests hold a digest, as bytes: of each its number, and when it was seen first and last.

    number u16 | first u24 | last u24, together a u64 little endian; hours since the epoch

No checksum: a holding is a hint for people, and one that makes no sense names no guest that is known.
"""

import sys
from array import array
from dataclasses import dataclass

MOST_HOLDERS = 1024  # of one digest; of more the ones that were seen last are kept
MAX_NUMBER = 0xFFFF
REFRESH_HOURS = 24  # a holding that was seen again later than this is written again

_HOUR_BITS = 24
_HOUR_MASK = (1 << _HOUR_BITS) - 1
_NUMBER_SHIFT = 2 * _HOUR_BITS
_BYTES = 8


@dataclass(frozen=True, slots=True)
class Holding:
    """One guest's. first, last: hours since the epoch; the last is up to REFRESH_HOURS too early."""

    number: int
    first: int
    last: int


def entry_of(number: int, first: int, last: int) -> bytes:
    """Return a holding as bytes."""
    return (number << _NUMBER_SHIFT | first << _HOUR_BITS | last).to_bytes(_BYTES, "little")


def seen(record: bytes | None, number: int, since: int, hour: int) -> tuple[bytes | None, bool]:
    """Return the record with a guest seen in an hour, and whether it is new there.

    None where the record says so already. since: what was seen earlier under the number was another guest.
    """
    if record is None:
        return entry_of(number, hour, hour), True
    entries = _entries(record)
    for index, entry in enumerate(entries):
        if entry >> _NUMBER_SHIFT == number:
            last = entry & _HOUR_MASK
            if last < since:
                entries[index] = number << _NUMBER_SHIFT | hour << _HOUR_BITS | hour
                return _record(entries), True
            if hour - last < REFRESH_HOURS:
                return None, False
            entries[index] = entry - last + hour
            return _record(entries), False
    if len(entries) >= MOST_HOLDERS:
        entries.pop(min(range(len(entries)), key=lambda index: entries[index] & _HOUR_MASK))
    entries.append(number << _NUMBER_SHIFT | hour << _HOUR_BITS | hour)
    return _record(entries), True


def holdings(record: bytes | None) -> list[Holding]:
    """Return what a record says; none for one that is cut off."""
    if record is None or len(record) % _BYTES:
        return []
    return [
        Holding(entry >> _NUMBER_SHIFT, entry >> _HOUR_BITS & _HOUR_MASK, entry & _HOUR_MASK)
        for entry in _entries(record)
    ]


def without(record: bytes, oldest: int) -> tuple[bytes, list[int]]:
    """Return the record without holdings that were seen last before an hour, and whose these were."""
    entries = _entries(record)
    gone = [entry >> _NUMBER_SHIFT for entry in entries if entry & _HOUR_MASK < oldest]
    if not gone:
        return record, gone
    return _record(array("Q", [entry for entry in entries if entry & _HOUR_MASK >= oldest])), gone


def _entries(record: bytes) -> "array[int]":
    entries = array("Q")
    entries.frombytes(record[: len(record) - len(record) % _BYTES])
    if sys.byteorder == "big":
        entries.byteswap()
    return entries


def _record(entries: "array[int]") -> bytes:
    if sys.byteorder == "big":
        entries = array("Q", entries)
        entries.byteswap()
    return entries.tobytes()
