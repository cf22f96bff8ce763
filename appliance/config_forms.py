"""What a single setting's value may be: ranges, choices, paths, addresses and URLs.

A form stands in the annotation of its setting. Its `problem(value)` gets a value that already has
the right type and returns "" where it is allowed, else what is wrong and what is allowed.
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

# sun_path holds 107 bytes and a zero; the companion socket's ".id" must fit too.
MAX_SOCKET_PATH_BYTES = 107 - len(".id")
MAX_URL_CHARACTERS = 1000
MAX_HOST_CHARACTERS = 253

_HOST = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._-]*)|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")

_HOST_BEFORE_PORT = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*|\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?\]")

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class Form(Protocol):
    """A rule for one value."""

    def problem(self, value: Any) -> str:
        """Return "" where the value, already of the right type, is allowed, else a sentence."""


class Range:
    """A number from `low` to `high`, both included."""

    def __init__(self, low: float, high: float) -> None:
        """Keep the bounds."""
        self.low = low
        self.high = high

    def problem(self, value: float) -> str:
        """Refuse what lies outside, and what is not a number."""
        if self.low <= value <= self.high:  # which what is no number is not
            return ""
        return f"{str(value)[:40]} is out of range: give {self.low} to {self.high}"


class Choice:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        """Keep the words."""
        self.words = words

    def problem(self, value: str) -> str:
        """Refuse every other word."""
        if value in self.words:
            return ""
        return f"{value!r} is not allowed: give one of {', '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class AbsolutePath:
    """A path from the root: a service has no current directory worth naming."""

    def problem(self, value: str) -> str:
        """Refuse a relative path, and one that no file can have."""
        if value.startswith("/") and "\0" not in value:
            return ""
        return f"{value!r} is not an absolute path: begin it with /"


@dataclass(frozen=True, slots=True)
class PathOrNothing:
    """A path from the root, or an empty text for none."""

    def problem(self, value: str) -> str:
        """Refuse what is neither."""
        return "" if not value else AbsolutePath().problem(value)


@dataclass(frozen=True, slots=True)
class SocketPath:
    """A path at which a unix socket and its companion can be bound."""

    def problem(self, value: str) -> str:
        """Refuse relative paths and those that the kernel's address structure cannot hold."""
        if wrong := AbsolutePath().problem(value):
            return wrong
        if len(value.encode()) > MAX_SOCKET_PATH_BYTES:
            return f"{value!r} is too long for a socket: give at most {MAX_SOCKET_PATH_BYTES} bytes"
        return ""


@dataclass(frozen=True, slots=True)
class AddressOrNothing:
    """HOST:PORT, or an empty text for off."""

    def problem(self, value: str) -> str:
        """Refuse what is neither."""
        return "" if not value else _host_port_problem(value)


@dataclass(frozen=True, slots=True)
class HostOrNothing:
    """A host's name or address, or an empty text for none."""

    def problem(self, value: str) -> str:
        """Refuse what has a port, and what no name and no address looks like."""
        if not value or (len(value) <= MAX_HOST_CHARACTERS and _HOST.fullmatch(value)):
            return ""
        return f"{value[:80]!r} is no host: give a name or an address, without a port and without brackets"


@dataclass(frozen=True, slots=True)
class GuestAddress:
    """unix:/PATH or tcp:HOST:PORT."""

    def problem(self, value: str) -> str:
        """Refuse other schemes, and what is wrong behind the scheme."""
        scheme, _, rest = value.partition(":")
        if scheme == "unix":
            return SocketPath().problem(rest)
        if scheme == "tcp":
            return _host_port_problem(rest)
        return f"{value!r} is no address: give unix:/PATH or tcp:HOST:PORT"


@dataclass(frozen=True, slots=True)
class ServiceUrlOrNothing:
    """The base URL of a service, https:// or, on this machine only, http://; or an empty text for none."""

    def problem(self, value: str) -> str:
        """Refuse what is no such URL, and one over which a key would travel in the clear."""
        if not value:
            return ""
        parts = _split(value)
        if (
            parts is None
            or parts.scheme not in {"http", "https"}
            or "@" in parts.netloc
            or parts.query
            or parts.fragment
        ):
            # Not shown: what stands before an @ may be a password.
            return "is no base URL: give https://HOST[:PORT][/PATH], without a user, a query or a fragment"
        if parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
            return f"{value[:200]!r} would send the API key in the clear: give an https:// URL"
        return ""


@dataclass(frozen=True, slots=True)
class ProxyOrNothing:
    """http://HOST:PORT of a proxy, a user and a password before an @ allowed; or an empty text for none."""

    def problem(self, value: str) -> str:
        """Refuse what is neither; what was given may hold a password, and is not shown."""
        if not value:
            return ""
        parts = _split(value)
        if (
            parts is None
            or parts.scheme != "http"
            or not parts.port
            or parts.path not in {"", "/"}
            or parts.query
            or parts.fragment
        ):
            return (
                "is no proxy: give http://HOST:PORT, with USER:PASSWORD@ before HOST where it asks for them"
            )
        return ""


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL that has a host and a port that can be; None for what is none."""
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is out of range
    except ValueError:
        return None
    return parts if parts.hostname else None


def _host_port_problem(value: str) -> str:
    host, _, port = value.rpartition(":")
    whole = _HOST_BEFORE_PORT.fullmatch(host) and len(host) <= MAX_HOST_CHARACTERS + len("[]")
    if whole and port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535:
        return ""
    return f"{value[:80]!r} is no address: give HOST:PORT with a port of 1 to 65535, an IPv6 host in brackets"
