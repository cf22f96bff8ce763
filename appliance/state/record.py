"""What a record of the state is, and what is said where it is not what was written."""

import json
from pathlib import Path
from typing import Any

import xxhash

REMEDY = (
    "restore it from a backup, or move it away to begin without overrides, "
    "policies and the account of what was sent"
)

_SUM_BYTES = 8


class StateError(Exception):
    """The state cannot be read or written; the message says why and what to do."""


class StateDamaged(StateError):
    """The file is not what was written."""


def damaged(path: Path, why: str, remedy: str = REMEDY) -> StateDamaged:
    """Return the error that says that a file is not what was written."""
    return StateDamaged(f"{path} is damaged ({why}): {remedy}")


def packed(fields: dict[str, Any]) -> bytes:
    """Return a record: JSON, then the xxh3_64 of it."""
    data = json.dumps(fields, separators=(",", ":")).encode()
    return data + xxhash.xxh3_64_digest(data)


def unpacked(value: bytes | memoryview, path: Path) -> dict[str, Any]:
    """Return what was packed. Raises StateDamaged, which names the file."""
    data, checksum = bytes(value[:-_SUM_BYTES]), bytes(value[-_SUM_BYTES:])
    if xxhash.xxh3_64_digest(data) != checksum:
        raise damaged(path, "a record does not fit its checksum")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise damaged(path, "a record is no table of fields")
    return fields
