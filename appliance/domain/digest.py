"""The SHA-256 of a file's whole content: 32 bytes, the only identity a verdict hangs on."""

DIGEST_BYTES = 32


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
