"""Reads lines of digest lists: ClamAV's and plain ones.

By the file's suffix (ClamAV's from https://docs.clamav.net/manual/Signatures/HashSignatures.html):

- `.hdb` `.hsb`     `digest:size:name`, size a number or `*`, further fields are ignored; the digest is
                    MD5, SHA-1 or SHA-256 by its length
- `.hdu` `.hsu`     the same for potentially unwanted software
- `.sha256` `.txt`  a SHA-256 in hexadecimal, and a name after blanks, a comma or a colon if there is one

Empty lines and those that begin with `#` are skipped. A name that begins with `PUA.` is that of
potentially unwanted software, as in ClamAV.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from appliance.domain.outcome import Disposition
from appliance.scanning.engines.hashtable import ANY_SIZE, MAX_NAME_BYTES
from appliance.scanning.labels import printable, shortened

MAX_LINE_BYTES = 4096
UNNAMED = b"Listed-Hash"
DIGEST_KINDS = {32: "md5", 40: "sha1", 64: "sha256"}  # by hexadecimal digits
PUA_PREFIX = b"PUA."


class BadLine(ValueError):
    """A line is not of its file's form; the message says how."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One digest of a list. size: ANY_SIZE where any fits. name: at most MAX_NAME_BYTES of UTF-8."""

    digest: bytes
    size: int
    name: bytes
    disposition: Disposition


LineReader = Callable[[bytes], Listed]


def reader_for(file_name: str) -> LineReader | None:
    """Return what reads the lines of a file of this name, or None: no list."""
    return _READERS.get(file_name[file_name.rfind(".") :].lower())


def clamav_line(line: bytes) -> Listed:
    """Read `digest:size:name`. Raises BadLine."""
    return _clamav(line, Disposition.MALICIOUS)


def clamav_unwanted_line(line: bytes) -> Listed:
    """Read `digest:size:name` of potentially unwanted software. Raises BadLine."""
    return _clamav(line, Disposition.SUSPICIOUS)


def plain_line(line: bytes) -> Listed:
    """Read a SHA-256 and the name that may follow. Raises BadLine."""
    digest, rest = _digest(line[:64]), line[64:]
    if len(digest) != 32 or (rest and rest[:1] not in b" \t,:;"):
        raise BadLine("a plain list has a SHA-256 of 64 hexadecimal digits at the start of each line")
    return _listed(digest, ANY_SIZE, rest.strip(b" \t,:;*"), Disposition.MALICIOUS)


def _clamav(line: bytes, disposition: Disposition) -> Listed:
    fields = line.split(b":")
    if len(fields) < 3 or not fields[2].strip():
        raise BadLine("not of the form digest:size:name")
    digest, size = _digest(fields[0]), fields[1].strip()
    if size != b"*" and not (size.isdigit() and len(size) < 20):
        raise BadLine(f"the size {printable(size[:40])!r} is neither a number of bytes nor *")
    return _listed(digest, ANY_SIZE if size == b"*" else int(size), fields[2].strip(), disposition)


def _digest(text: bytes) -> bytes:
    if len(text) in DIGEST_KINDS:
        with suppress(ValueError):
            digest = bytes.fromhex(text.decode("ascii"))
            if 2 * len(digest) == len(text):  # fromhex overlooks blanks
                return digest
    raise BadLine(
        f"{printable(text[:80])!r} is no MD5, SHA-1 or SHA-256: 32, 40 or 64 hexadecimal digits are"
    )


def _listed(digest: bytes, size: int, name: bytes, disposition: Disposition) -> Listed:
    if name.startswith(PUA_PREFIX):
        disposition = Disposition.SUSPICIOUS
    if not name.isascii() or not name.decode("ascii").isprintable() or len(name) > MAX_NAME_BYTES:
        name = shortened(printable(name), MAX_NAME_BYTES).encode()
    return Listed(digest, size, name or UNNAMED, disposition)


_READERS: dict[str, LineReader] = {
    ".hdb": clamav_line,
    ".hsb": clamav_line,
    ".hdu": clamav_unwanted_line,
    ".hsu": clamav_unwanted_line,
    ".sha256": plain_line,
    ".txt": plain_line,
}
