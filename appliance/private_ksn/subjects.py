"""What can be asked about: digests, URLs, domains and IP addresses, each in one normal form. No I/O.

A subject's key is one letter for its kind and the normal form behind it; the same function makes it
when a feed is read and when a question comes, so that both spell it alike. An LMDB key has at most
511 bytes: a URL that is longer than that goes by its SHA-256.
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

import idna

MAX_URL_LETTERS = 2000  # as the OpenTIP documents have it
MAX_KEPT_URL_BYTES = 480

SHA256 = b"h"
_DIGEST_KINDS = {32: b"m", 40: b"s", 64: SHA256}  # hexadecimal digits -> MD5, SHA-1, SHA-256
_KINDS = {b"m": "hash", b"s": "hash", b"h": "hash", b"i": "ip", b"d": "domain", b"u": "url", b"U": "url"}
_SCHEMES = {"http": 80, "https": 443, "ftp": 21}
_LABELS = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
)
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class BadSubject(ValueError):
    """The text is not what it should be; the message says what was wrong with it."""


class SubjectTooLong(BadSubject):
    """A URL of more letters than are taken."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that has a reputation. text: its normal form, for people."""

    key: bytes
    text: str

    @property
    def kind(self) -> str:
        """One of "hash", "url", "domain" and "ip"."""
        return _KINDS[self.key[:1]]


def parse_hash(text: str) -> Subject:
    """An MD5, SHA-1 or SHA-256 in hexadecimal, or raise BadSubject."""
    kind = _DIGEST_KINDS.get(len(text))
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if kind is None or 2 * len(digest) != len(text):
        raise BadSubject(f"{text[:80]!r} is no MD5, SHA-1 or SHA-256: give 32, 40 or 64 hexadecimal digits")
    return Subject(kind + digest, digest.hex())


def parse_ip(text: str) -> Subject:
    """An IPv4 or IPv6 address, or raise BadSubject."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise BadSubject(f"{text[:80]!r} is no IP address") from error
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise BadSubject(f"{text[:80]!r} has a zone index, which means something on one machine only")
        address = address.ipv4_mapped or address
    return Subject(b"i" + str(address).encode(), str(address))


def parse_domain(text: str) -> Subject:
    """A name of a host or a domain, in ASCII or as people write it, or raise BadSubject."""
    name = _host_name(text)
    return Subject(b"d" + name.encode(), name)


def parse_url(text: str) -> Subject:
    """A URL with a scheme, a host and a path, or raise BadSubject, SubjectTooLong.

    The scheme and the host are made small, the host ASCII; credentials, the scheme's own port and the
    fragment go; what is escaped without need is written plainly.
    """
    if len(text) > MAX_URL_LETTERS:
        raise SubjectTooLong(f"the URL has {len(text)} letters; {MAX_URL_LETTERS} are taken")
    try:
        text.encode()  # half a surrogate pair, which JSON can bring, is a UnicodeError, a ValueError
        parts = urlsplit(text.strip())
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError as error:
        raise BadSubject(f"{text[:80]!r} is no URL: {error}") from error
    if parts.scheme not in _SCHEMES or not host:
        raise BadSubject(f"{text[:80]!r} is no URL: begin it with http://, https:// or ftp:// and a host")
    if not parts.path:
        raise BadSubject(f"{text[:80]!r} has no path: ask for its domain instead")
    where = _url_host(host) + (f":{port}" if port and port != _SCHEMES[parts.scheme] else "")
    url = f"{parts.scheme}://{where}{_path_and_query(parts)}"
    raw = url.encode()
    if len(raw) <= MAX_KEPT_URL_BYTES:
        return Subject(b"u" + raw, url)
    return Subject(b"U" + hashlib.sha256(raw).digest(), url)


def parse_any(text: str) -> Subject:
    """Whatever of them the text is, by its form, or raise BadSubject."""
    if "://" in text:
        return parse_url(text)
    if len(text) in _DIGEST_KINDS and "." not in text and ":" not in text:
        return parse_hash(text)
    for parse in (parse_ip, parse_domain):
        try:
            subject = parse(text)
        except BadSubject:
            continue
        # A word without a dot may be a name of a host, and is more often a digest that lost a letter.
        if set(subject.text) & {".", ":"}:
            return subject
    raise BadSubject(f"{text[:80]!r} is no digest, no URL with http:// in front, no domain and no IP address")


def subject_of(key: bytes) -> Subject:
    """The subject that a key stands for. A URL that is kept by its digest has that for a text."""
    kind, rest = key[:1], key[1:]
    if kind == b"U":
        return Subject(key, f"(a long URL with SHA-256 {rest.hex()})")
    return Subject(key, rest.decode() if kind in (b"i", b"d", b"u") else rest.hex())


def _host_name(text: str) -> str:
    name = text.strip().removesuffix(".")
    try:
        # Plain names keep their underscores, which IDNA does not have and real hosts do.
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError) as error:
        raise BadSubject(f"{text[:80]!r} is no name of a host: {error}") from error
    if not _LABELS.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise BadSubject(f"{text[:80]!r} is no name of a host")
    return name


def _url_host(host: str) -> str:
    try:
        address = parse_ip(host).text
    except BadSubject:
        return _host_name(host)
    return f"[{address}]" if ":" in address else address


def _path_and_query(parts: SplitResult) -> str:
    query = f"?{parts.query}" if parts.query else ""
    # Everything that may stand in a URL is "safe", the escapes themselves too; the rest is escaped.
    plain = quote(parts.path + query, safe="!#$%&'()*+,/:;=?@[]~")
    return _ESCAPE.sub(_plainly, plain)


def _plainly(escape: re.Match[str]) -> str:
    if escape[1] is None:
        return "%25"  # a bare "%" is itself, and must not become part of an escape
    letter = chr(int(escape[1], 16))
    return letter if letter in _UNRESERVED else escape[0].upper()
