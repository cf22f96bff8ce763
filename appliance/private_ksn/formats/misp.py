"""A MISP feed's folder: manifest.json, and an event for each of its names, UUID.json.

Only attributes that are meant for detection (to_ids) count, of these types: digests, digests with a file's
name, URLs, domains, host names and IP addresses.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.feeds.lines import Bad, Progress, SourceError, check_regular
from appliance.private_ksn.reputation import Reputation
from appliance.private_ksn.sources import Found, Words
from appliance.private_ksn.subjects import BadSubject, Subject, parse_domain, parse_hash, parse_ip, parse_web

MAX_JSON_BYTES = 256 << 20  # an event is read as a whole
_UUID = re.compile(r"[0-9a-fA-F-]{1,64}")
_PARSERS = {
    **dict.fromkeys(("md5", "sha1", "sha256"), parse_hash),
    **dict.fromkeys(("ip-src", "ip-dst"), parse_ip),
    **dict.fromkeys(("domain", "hostname"), parse_domain),
    "url": parse_web,
}


def read(path: Path, words: Words, progress: Progress) -> Iterator[Found | Bad]:
    """Every attribute of every event; the event's title is the category. Raises SourceError."""
    manifest = _json(path / "manifest.json")
    if not isinstance(manifest, dict):
        raise SourceError(f"{path / 'manifest.json'}: is no list of events by their UUID")
    progress.total = len(manifest)
    for uuid in manifest:
        progress.done += 1
        if not _UUID.fullmatch(uuid):
            yield Bad("manifest.json", f"{uuid[:80]!r} is no UUID")
            continue
        try:
            event = _json(path / f"{uuid}.json")
        except SourceError as error:
            yield Bad(f"{uuid}.json", str(error))
            continue
        yield from _event(event, f"{uuid}.json", words)


def _event(document: Any, where: str, words: Words) -> Iterator[Found | Bad]:
    event = document.get("Event") if isinstance(document, dict) else None
    if not isinstance(event, dict):
        yield Bad(where, "it has no Event")
        return
    title = event.get("info")
    category = words.category or (title if isinstance(title, str) else "")
    word = Reputation(words.zone, words.threat, category, "", _seconds(event.get("timestamp")))
    objects = [one for one in _list(event.get("Object")) if isinstance(one, dict)]
    for part in (event, *objects):
        for number, attribute in enumerate(_list(part.get("Attribute")), start=1):
            try:
                subject = _subject(attribute)
            except (BadSubject, AttributeError, TypeError) as error:
                yield Bad(f"{where}, attribute {number}", str(error))
                continue
            if subject is not None:
                yield Found((subject.key,), word)


def _subject(attribute: Any) -> Subject | None:
    """What an attribute is about; None where it is of no use here."""
    kind, value = attribute.get("type"), attribute.get("value")
    if not isinstance(kind, str) or not isinstance(value, str):
        raise BadSubject("its type or its value is no text")
    if attribute.get("to_ids") is False:
        return None
    if kind.startswith("filename|"):
        kind, value = kind.removeprefix("filename|"), value.rpartition("|")[2]
    parse = _PARSERS.get(kind)
    return parse(value) if parse else None


def _json(path: Path) -> Any:
    try:
        check_regular(path)
        with path.open("rb") as file:
            raw = file.read(MAX_JSON_BYTES + 1)
        if len(raw) > MAX_JSON_BYTES:
            raise SourceError(f"{path}: over {MAX_JSON_BYTES >> 20} MiB")
        return json.loads(raw)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: is no JSON: {error}") from error


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _seconds(value: Any) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
