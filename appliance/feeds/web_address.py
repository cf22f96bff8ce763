"""A web address in its one normal form: the SVM asks by it, and a Private KSN keeps by it. Pure.

Written down once, so that the many spellings of one address are one question, and one entry of a feed:
schemes and hosts in lower case, IDNA 2008, IPv4 in every spelling that a browser takes
(https://url.spec.whatwg.org/#concept-ipv4-parser), default ports left out, percent-encoding in one form, dots
and empty segments of the path resolved. Credentials and the fragment are cut at once and for good.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import idna

MAX_URL_CHARS = 2000  # what OpenTIP takes
MAX_INPUT_CHARS = 8192  # of a URL as it was met; its query string may be long
MAX_HOST_CHARS = 253  # RFC 1035, without the last dot
MAX_LABEL_CHARS = 63

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ftp": 21}
_SCHEME = re.compile(r"(https?|ftp):[/\\]*", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):[/\\]{2}")
_LABEL = re.compile(r"[a-z0-9_-]+")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_IN_PATH = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/")
_IN_QUERY = _IN_PATH | frozenset(b"?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BadUrl(ValueError):
    """The text is no URL of the web that can be asked about; the text of the error says why."""


@dataclass(frozen=True, slots=True)
class WebAddress:
    """An address as it was read.

    url: "http://host:8080/path", without the query string, of whatever length. query: "a=b" or "". host: a
    name or an IP address, IPv6 without brackets. address: the host, where it is an IP address. is_root: there
    is no path to ask about, so that the host stands for it, unless there is a query string.
    """

    url: str
    query: str
    host: str
    address: Address | None
    is_root: bool

    @property
    def whole(self) -> str:
        """The URL with its query string."""
        return f"{self.url}?{self.query}" if self.query else self.url


def parse_web_address(text: str) -> WebAddress:
    """Return a URL's normal form, however a person, a program, a feed or a hostile guest wrote it.

    Without a scheme it is http. Raises BadUrl.
    """
    if len(text) > MAX_INPUT_CHARS:
        raise BadUrl(f"the URL has {len(text)} characters, more than {MAX_INPUT_CHARS}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadUrl("the URL holds surrogates, which are no characters") from None
    # As browsers do: what stands around the URL, and line ends in it, are not of it.
    scheme, rest = _scheme(re.sub(r"[\t\r\n]", "", text.strip("".join(map(chr, range(33))))))
    authority, path, query = _split(rest)
    host_text, port = _host_and_port(authority.rpartition("@")[2], _DEFAULT_PORTS[scheme])
    address, host = parse_host(host_text)
    shown = f"[{host}]" if isinstance(address, ipaddress.IPv6Address) else host
    path = _resolved(_encoded(path, _IN_PATH))
    return WebAddress(
        f"{scheme}://{shown}{port}{path}", _encoded(query, _IN_QUERY), host, address, path == "/"
    )


def parse_host(text: str) -> tuple[Address | None, str]:
    """Return the address, where a host is one, and the host in its normal form. Raises BadUrl."""
    if text.startswith("["):
        return _normal_ipv6(text)
    name = _mapped(_decoded_host(text)).removesuffix(".")
    if not name:
        raise BadUrl("the URL names no host")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        address = _ipv4(name, labels)
        return address, str(address)
    name = ".".join(map(_ascii_label, labels))
    if len(name) > MAX_HOST_CHARS:
        raise BadUrl(f"the name of the host has {len(name)} characters, more than {MAX_HOST_CHARS}")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise BadUrl(f"{name[:80]!r} is neither the name of a host nor an address")
    return None, name


def _scheme(text: str) -> tuple[str, str]:
    """Return the scheme and what follows it."""
    known = _SCHEME.match(text)
    if known:
        return known[1].lower(), text[known.end() :]
    other = _OTHER_SCHEME.match(text)
    if other:
        raise BadUrl(f"{other[1][:20]!r} is no scheme of the web: http, https and ftp are")
    return "http", text.lstrip("/\\")


def _split(rest: str) -> tuple[str, str, str]:
    """Return authority, path and query; the fragment is dropped."""
    before_fragment = rest.partition("#")[0]
    before_query, _, query = before_fragment.partition("?")
    authority, slash, path = before_query.replace("\\", "/").partition("/")
    return authority, slash + path, query


def _host_and_port(text: str, default: int) -> tuple[str, str]:
    """Return the host, brackets included, and ":8080", or "" for the scheme's own port."""
    if text.startswith("["):
        inside, bracket, port = text.partition("]")
        host = inside + bracket
        if port[:1] not in {"", ":"}:
            raise BadUrl(f"{text[:80]!r}: after an address in brackets comes a port, or nothing")
        port = port[1:]
    else:
        host, _, port = text.partition(":")
    if not port:
        return host, ""
    if not (port.isascii() and port.isdigit() and len(port) <= 10 and int(port) < 1 << 16):
        raise BadUrl(f"{port[:20]!r} is no port: give a number up to 65535")
    return host, "" if int(port) == default else f":{int(port)}"


def _normal_ipv6(text: str) -> tuple[Address, str]:
    try:
        address = ipaddress.IPv6Address(text[1:-1] if text.endswith("]") else text)
    except ValueError:
        raise BadUrl(f"{text[:80]!r} is no IPv6 address") from None
    if address.scope_id is not None:
        raise BadUrl(f"{text[:80]!r} names an interface of this machine, which means nothing elsewhere")
    if address.ipv4_mapped is not None:  # reaches the IPv4 address, so that is what is asked about
        return address.ipv4_mapped, str(address.ipv4_mapped)
    return address, str(address)


def _decoded_host(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadUrl(f"{text[:80]!r}: percent-encoding of a host is of UTF-8, and this is not") from None


def _mapped(name: str) -> str:
    """Return a name in lower case; full-width letters and dots of other scripts as those they stand for."""
    if name.isascii():
        return name.lower()
    if len(name) > 4 * MAX_HOST_CHARS:
        raise BadUrl(f"the name of the host has {len(name)} characters, more than {MAX_HOST_CHARS}")
    try:
        return idna.uts46_remap(name, std3_rules=False, transitional=False)
    except idna.IDNAError as error:
        raise BadUrl(f"{name[:80]!r} is no name of a host: {error}"[:400]) from None


def _ascii_label(label: str) -> str:
    if not label.isascii():
        try:
            return idna.alabel(label).decode("ascii")
        except idna.IDNAError as error:
            raise BadUrl(
                f"{label[:80]!r} in the name of the host is not of IDNA 2008: {error}"[:400]
            ) from None
    if not label:
        raise BadUrl("the name of the host has two dots in a row, or begins with one")
    if len(label) > MAX_LABEL_CHARS:
        raise BadUrl(f"a label of the host has {len(label)} characters, more than {MAX_LABEL_CHARS}")
    # Underscores and what only looks like IDNA are met in the wild and resolve, so they can be asked about.
    if not _LABEL.fullmatch(label):
        raise BadUrl(f"{label[:80]!r} cannot stand in the name of a host")
    return label


def _ipv4(name: str, labels: list[str]) -> ipaddress.IPv4Address:
    """Read "127.1", "0x7f.1", "0177.0.0.1" and "2130706433", as browsers do."""
    bad = BadUrl(f"{name[:80]!r} is no IPv4 address, in no spelling of one")
    if len(labels) > 4:
        raise bad
    value = 0
    for place, label in enumerate(labels):
        if not _NUMBER.fullmatch(label) or len(label) > MAX_HOST_CHARS:
            raise bad
        number = _number(label, bad)
        last = place == len(labels) - 1
        if number >= (1 << 8 * (5 - len(labels)) if last else 256):
            raise bad
        value += number if last else number << 8 * (3 - place)
    return ipaddress.IPv4Address(value)


def _number(label: str, bad: BadUrl) -> int:
    try:
        if label.startswith("0x"):
            return int(label[2:] or "0", 16)
        return int(label, 8 if label.startswith("0") else 10)
    except ValueError:  # an 8 or a 9 in an octal number
        raise bad from None


def _encoded(text: str, allowed: frozenset[int]) -> str:
    """Return text percent-encoded in one form: what need not be is not, and the rest in upper case."""
    out = []
    for piece in re.split(r"(%[0-9A-Fa-f]{2})", text):
        if _ENCODED.fullmatch(piece):
            byte = int(piece[1:], 16)
            out.append(chr(byte) if byte in _UNRESERVED else piece.upper())
        else:
            out.extend(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in piece.encode())
    return "".join(out)


def _resolved(path: str) -> str:
    """Return a path without empty segments and dots."""
    segments: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            del segments[-1:]
        elif part not in {"", "."}:
            segments.append(part)
    slash = "/" if segments and parts[-1] in {"", ".", ".."} else ""
    return "/" + "/".join(segments) + slash
