"""The SHA-256 of a file's whole content: 32 bytes, the only identity a verdict hangs on."""

import re

DIGEST_BYTES = 32
MIN_BEGINNING = 8
BEGINNING_RULE = f"give the first {MIN_BEGINNING} to {2 * DIGEST_BYTES} hexadecimal digits of a SHA-256"
_BEGINNING = re.compile(rf"[0-9a-f]{{{MIN_BEGINNING},{2 * DIGEST_BYTES}}}")


class BadDigest(ValueError):
    """The text is not a SHA-256 in hexadecimal."""


def parse_digest(text: str) -> bytes:
    """Return the 32 bytes that 64 hexadecimal digits spell, or raise BadDigest."""
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES or len(text) != 2 * DIGEST_BYTES:
        raise BadDigest(
            f"{text[:80]!r} is not a SHA-256: give 64 hexadecimal digits, as `sha256sum FILE` prints them"
        )
    return digest


def is_beginning(text: str) -> bool:
    """Whether a text can be the beginning of a digest, in small letters: see BEGINNING_RULE."""
    return _BEGINNING.fullmatch(text) is not None
