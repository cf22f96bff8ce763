"""What is said of an entry: in one line, and as JSON."""

import os
from datetime import UTC, datetime
from typing import Any

from guest_stub.console import printable
from guest_stub.remediation.facts import Entry
from guest_stub.report import path_fields


def label(entry: Entry) -> str:
    """The entry in one line that does nothing to a terminal."""
    day = utc(entry.sealed_at_ns)[:10]
    path = printable(os.fsdecode(entry.path)) or "no known path"
    return f"{entry.id}: {path} ({printable(entry.judged.threat) or 'unnamed'}, sealed {day})"


def about(entry: Entry) -> dict[str, Any]:
    """What is known of an entry, for JSON."""
    attributes = entry.attributes
    return {
        "id": entry.id,
        **path_fields(os.fsdecode(entry.path)),
        "sha256": entry.judged.sha256.hex(),
        "threat": entry.judged.threat,
        "size": entry.size,
        "sealed_at": utc(entry.sealed_at_ns),
        "uid": attributes.uid,
        "gid": attributes.gid,
        "mode": f"{attributes.mode:04o}",
        "modified_at": utc(attributes.mtime_ns),
        "accessed_at": utc(attributes.atime_ns),
        "xattrs": {os.fsdecode(name): value.hex() for name, value in attributes.xattrs},
        "not_kept": [os.fsdecode(name) for name in attributes.left_out],
        "names": entry.names,
    }


def utc(time_ns: int) -> str:
    """A time for people and programs; a number of seconds where there is no such year."""
    try:
        return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{time_ns / 1e9:.0f}"
