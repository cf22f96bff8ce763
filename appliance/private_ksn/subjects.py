"""What can be asked about: digests, URLs, domains and IP addresses, each in one normal form. No I/O.

A subject's key is one letter for its kind and the normal form behind it; the same function makes it
when a feed is read and when a question comes, so that both spell it alike, and `feeds.web_address` is
how the SVM spells it, too. An LMDB key has at most 511 bytes: a URL that is longer than that goes by its
SHA-256.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from appliance.feeds.web_address import (
    MAX_INPUT_CHARS,
    MAX_URL_CHARS,
    BadUrl,
    WebAddress,
    parse_host,
    parse_web_address,
)

MAX_KEPT_URL_BYTES = 480

SHA256 = b"h"
_DIGEST_KINDS = {32: b"m", 40: b"s", 64: SHA256}  # hexadecimal digits -> MD5, SHA-1, SHA-256
_KINDS = {b"m": "hash", b"s": "hash", b"h": "hash", b"i": "ip", b"d": "domain", b"u": "url", b"U": "url"}


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

    @property
    def sha256(self) -> str:
        """In hexadecimal, where the key is no more than the digest of a long URL; else ""."""
        return self.key[1:].hex() if self.key[:1] == b"U" else ""


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
    try:
        text.encode()  # half a surrogate pair, which JSON can bring, is a UnicodeError, a ValueError
        address, name = parse_host(text.strip())
    except ValueError as error:
        raise BadSubject(f"{text[:80]!r} is no name of a host: {error}") from error
    if address is not None:
        raise BadSubject(f"{text[:80]!r} is no name of a host but an address")
    return Subject(b"d" + name.encode(), name)


def parse_url(text: str) -> Subject:
    """A URL with a scheme, a host and a path, as it is asked about, or raise BadSubject, SubjectTooLong.

    One without more of a path than "/", and without a query, is its host, as in `parse_web`.
    """
    before, scheme, rest = text.partition("://")
    if not before or not scheme:
        raise BadSubject(f"{text[:80]!r} is no URL: begin it with http://, https:// or ftp:// and a host")
    if "/" not in rest:
        raise BadSubject(f"{text[:80]!r} has no path: ask for its domain instead")
    return parse_web(text)


def parse_web(text: str) -> Subject:
    """A web address in whatever spelling, as a feed has it, or raise BadSubject, SubjectTooLong.

    Where there is no path and no query it is the host, whatever the port: that is what clients ask about.
    """
    if len(text) > MAX_INPUT_CHARS:
        raise SubjectTooLong(f"the URL has {len(text)} letters; {MAX_URL_CHARS} are taken")
    try:
        web = parse_web_address(text)
    except BadUrl as error:
        raise BadSubject(f"{text[:80]!r} is no URL: {error}") from error
    if web.is_root and not web.query:
        return Subject((b"i" if web.address else b"d") + web.host.encode(), web.host)
    return _url(web)


def parse_any(text: str) -> Subject:
    """Whatever of them the text is, by its form, or raise BadSubject."""
    marks = set(text) & set(".:/\\")
    if len(text) in _DIGEST_KINDS and not marks:
        return parse_hash(text)
    if "://" in text:
        return parse_web(text)
    for parse in (parse_ip, parse_web):
        try:
            subject = parse(text)
        except BadSubject:
            continue
        # A word, or a number, without a dot may be a host, and is more often a digest that lost a letter.
        if marks or (subject.kind == "domain" and "." in subject.text):
            return subject
    raise BadSubject(f"{text[:80]!r} is no digest, no URL, no domain and no IP address")


def subject_of(key: bytes) -> Subject:
    """The subject that a key stands for. A URL that is kept by its digest has that for a text."""
    kind, rest = key[:1], key[1:]
    if kind == b"U":
        return Subject(key, f"(a long URL with SHA-256 {rest.hex()})")
    return Subject(key, rest.decode() if kind in (b"i", b"d", b"u") else rest.hex())


def _url(web: WebAddress) -> Subject:
    raw = web.whole.encode()
    if len(raw) > MAX_URL_CHARS:
        raise SubjectTooLong(f"the URL has {len(raw)} letters in its normal form; {MAX_URL_CHARS} are taken")
    key = b"u" + raw if len(raw) <= MAX_KEPT_URL_BYTES else b"U" + hashlib.sha256(raw).digest()
    return Subject(key, web.whole)
