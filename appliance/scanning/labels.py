"""Makes text that came from hostile bytes safe to store, log and print."""

from appliance.domain.verdict import MAX_MEMBER_BYTES, MAX_THREAT_BYTES

CUT = "..."


def printable(raw: bytes) -> str:
    r"""Return `raw` as UTF-8; what is not, or moves a cursor or turns text around, as \x1b or \u202e."""
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shortened(text: str, limit: int) -> str:
    """Return `text` in at most `limit` bytes of UTF-8, the middle left out: both ends tell most."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    half = (limit - len(CUT)) // 2
    head = encoded[:half].decode("utf-8", "ignore")
    tail = encoded[-half:].decode("utf-8", "ignore")
    return head + CUT + tail


def threat_name(raw: bytes) -> str:
    """Return the name of a threat as a Detection may hold it; "unnamed" for nothing."""
    return shortened(printable(raw[: 4 * MAX_THREAT_BYTES]), MAX_THREAT_BYTES).strip() or "unnamed"


def member_path(parent: str, name: str) -> str:
    """Return the path of member `name` in the container whose own path inside the file is `parent`."""
    return shortened(f"{parent}!{name}" if parent else name, MAX_MEMBER_BYTES)
