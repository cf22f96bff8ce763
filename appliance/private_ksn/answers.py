"""What is known, in the JSON of the OpenTIP dialect. No I/O."""

from datetime import UTC, datetime
from typing import Any

from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.subjects import SHA256, Subject

_FILE_STATUS = {
    Zone.RED: "Malware",
    Zone.ORANGE: "Adware and other",
    Zone.YELLOW: "Adware and other",
    Zone.GREEN: "Clean",
    Zone.GREY: "NotCategorized",
}
_DIGESTS = {b"m": "Md5", b"s": "Sha1", b"h": "Sha256"}
_SECTIONS = {"url": "UrlGeneralInfo", "domain": "DomainGeneralInfo", "ip": "IpGeneralInfo"}
_NAMES = {"url": "Url", "domain": "Domain", "ip": "Ip"}


def answer(subject: Subject, reputation: Reputation, kept: bytes) -> dict[str, Any]:
    """The body of a 200. kept: the key that it is kept under, which may say a file's SHA-256."""
    zone = reputation.zone.word
    found: dict[str, Any] = {"Zone": zone}
    if reputation.threat:
        # The documents have it for files alone. Of addresses the threat stands among the categories, too.
        found["DetectionsInfo"] = [{"Zone": zone, "DetectionName": reputation.threat}]
    if subject.kind == "hash":
        found["FileGeneralInfo"] = _file(subject, reputation, kept)
        return found
    section: dict[str, Any] = {_NAMES[subject.kind]: subject.text}
    categories = [text for text in (reputation.category, reputation.threat) if text]
    if categories:
        section["Categories"] = categories
        section["CategoriesWithZone"] = [{"Name": text, "Zone": zone} for text in categories]
    if subject.kind == "ip":
        section["Status"] = "known"
    if reputation.first_seen:
        section["FirstSeen"] = _time(reputation.first_seen)
    found[_SECTIONS[subject.kind]] = section
    return found


def _file(subject: Subject, reputation: Reputation, kept: bytes) -> dict[str, Any]:
    info: dict[str, Any] = {
        "FileStatus": _FILE_STATUS[reputation.zone],
        _DIGESTS[subject.key[:1]]: subject.text,
    }
    if kept[:1] == SHA256:
        info["Sha256"] = kept[1:].hex()
    if reputation.first_seen:
        info["FirstSeen"] = _time(reputation.first_seen)
    # The documents have no field for these two. A client that does not know them passes them over.
    if reputation.category:
        info["Category"] = reputation.category
    if reputation.name:
        info["ProductName"] = reputation.name
    return info


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
