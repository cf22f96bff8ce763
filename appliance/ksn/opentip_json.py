"""Reads what a service answers in the OpenTIP dialect. Pure; every byte of it is hostile.

Any section may be missing, numbers come as strings, and one key has two spellings (the documents write
`DynamicAnalisysResults`). The zone counts first, then `FileStatus`; where both are missing nothing is known.
"""

import json
from collections.abc import Iterator
from typing import Any

from appliance.ksn.reputation import (
    MAX_NAME_BYTES,
    Answer,
    Call,
    Changes,
    Flip,
    ReputationError,
    Trouble,
)
from appliance.ksn.zones import Zone, severity, zone_named, zone_of_status

MAX_ENTRIES = 100  # of a list that are looked at
MAX_CHANGES = 10_000  # of one answer
MAX_VALUE = 4096  # characters of a subject
_GENERAL = ("FileGeneralInfo", "UrlGeneralInfo", "DomainGeneralInfo", "IpGeneralInfo")
_DYNAMIC = ("DynamicAnalysisResults", "DynamicAnalisysResults")
_KINDS = {"hash": Call.HASH, "url": Call.URL, "domain": Call.DOMAIN, "ip": Call.IP}
_UNDER_WAY = {"in progress", "not started"}

Section = dict[str, Any]


def read_answer(body: bytes) -> Answer:
    """Return what a body says. Raises ReputationError (malformed) and nothing else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ReputationError(Trouble.MALFORMED, "the answer is no JSON, or breaks off") from None
    if not isinstance(document, dict):
        raise ReputationError(Trouble.MALFORMED, "the answer is no JSON object")
    general = next((found for found in map(document.get, _GENERAL) if isinstance(found, dict)), {})
    threat = _threat(document)
    return Answer(
        zone=_zone(document, general),
        threat=threat,
        category=_category(general, threat),
        hits=_number(general.get("HitsCount")),
        complete=str(document.get("Status", "")).lower() not in _UNDER_WAY,
        program=clean_name(general.get("ProductName")),
    )


def read_changes(body: bytes, lost: bool) -> Changes:
    """Return what a body says of changes. Raises ReputationError (malformed) and nothing else.

    lost: the service said so by its status, and the body has the position to go on from.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ReputationError(Trouble.MALFORMED, "the changes are no JSON, or break off") from None
    position = _number(document.get("sequence")) if isinstance(document, dict) else None
    if position is None:
        raise ReputationError(Trouble.MALFORMED, "the changes have no position")
    found = document.get("changes")
    entries = found[:MAX_CHANGES] if isinstance(found, list) and not lost else ()
    flips = [flip for flip in map(_flip, entries) if flip is not None]
    return Changes(position, document.get("more") is True, tuple(flips), lost)


def _flip(entry: object) -> Flip | None:
    """One change; None for what this program keeps nothing of."""
    if not isinstance(entry, dict):
        return None
    kind, value, zone = (entry.get(key) for key in ("kind", "value", "zone"))
    if (
        kind not in _KINDS
        or not isinstance(value, str)
        or not isinstance(zone, str)
        or len(value) > MAX_VALUE
    ):
        return None
    threat, category, program = (clean_name(entry.get(key)) for key in ("threat", "category", "name"))
    url_sha256 = clean_name(entry.get("sha256")).lower() if kind == "url" else ""
    return Flip(_KINDS[kind], value, zone_named(zone), threat, category, program, url_sha256)


def clean_name(text: object) -> str:
    """Return a name that may be stored and printed, within MAX_NAME_BYTES; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_NAME_BYTES])
    return (
        " ".join(shown.split()).encode("utf-8", "replace")[:MAX_NAME_BYTES].decode("utf-8", "ignore").strip()
    )


def _zone(document: Section, general: Section) -> Zone:
    named = document.get("Zone")
    if isinstance(named, str) and named.strip():
        zone = zone_named(named)
        if zone is None:
            raise ReputationError(Trouble.MALFORMED, f"the answer names a zone {clean_name(named)[:40]!r}")
        return zone
    status = general.get("FileStatus")
    return (zone_of_status(status) if isinstance(status, str) else None) or Zone.GREY


def _threat(document: Section) -> str:
    """The name of the worst detection; without one, that of the worst that an analysis saw."""
    found = [(entry, "DetectionName") for entry in _entries(document.get("DetectionsInfo"))]
    for spelling in _DYNAMIC:
        dynamic = document.get(spelling)
        if isinstance(dynamic, dict):
            # Threat is a name here and a number there; clean_name makes nothing of a number.
            found += [(entry, "Threat") for entry in _entries(dynamic.get("DynamicDetections"))]
    named = [(entry, clean_name(entry.get(key))) for entry, key in found]
    named = [(entry, name) for entry, name in named if name and not name.isdigit()]
    return min(named, key=lambda pair: _entry_severity(pair[0]))[1] if named else ""


def _category(general: Section, threat: str) -> str:
    """The worst of the categories that carry a zone; else the first without one; else that of a file.

    The threat is none of them, though our own server lists it there, for clients that look nowhere else.
    """
    none = {"", threat}
    zoned = [
        entry for entry in _entries(general.get("CategoriesWithZone")) if _category_of(entry) not in none
    ]
    if zoned:
        return _category_of(min(zoned, key=_entry_severity))
    plain = general.get("Categories")
    names = [*(plain[:MAX_ENTRIES] if isinstance(plain, list) else ()), general.get("Category")]
    return next((name for name in map(clean_name, names) if name not in none), "")


def _category_of(entry: Section) -> str:
    return clean_name(entry.get("Name"))


def _entries(found: object) -> Iterator[Section]:
    for entry in found[:MAX_ENTRIES] if isinstance(found, list) else ():
        if isinstance(entry, dict):
            yield entry


def _entry_severity(entry: Section) -> int:
    named = entry.get("Zone")
    return severity((zone_named(named) if isinstance(named, str) else None) or Zone.NOT_FOUND)


def _number(found: object) -> int | None:
    """A count, as a number or as a string of digits; None for anything else."""
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 19:
        found = int(found)
    return found if type(found) is int and 0 <= found < 1 << 63 else None
