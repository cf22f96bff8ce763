"""What a guest keeps of its identity, as the bytes of two files. No I/O."""

import base64
import binascii
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from guest_stub.svm_link.target import Proof, host_and_port

MAX_BYTES = 64 << 10  # of a file
_VERSION = 1
_LAST_SECOND = 253_402_300_799  # of the year 9999, where dates end
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"


class NotKept(Exception):
    """These bytes are none of ours; the message says what is amiss with them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this guest is: all of it in one file, so that it is there whole or not at all.

    svm: "tcp:host:port", where it enrolled. guest: its UUID. authority, certificate, key: PEM, see Proof.
    begins, ends, renew_at: seconds since 1970. asked_with: see Pending.
    """

    svm: str
    guest: str
    tenant: str
    authority: str
    certificate: str
    key: str
    begins: float
    ends: float
    renew_at: float
    asked_with: str

    @property
    def proof(self) -> Proof:
        """What is shown to an SVM."""
        return Proof(
            self.authority.encode(), self.certificate.encode(), self.key.encode(), self.begins, self.ends
        )

    def is_of_another(self, hardware: str) -> bool:
        """Whether a machine of this UUID ("" for unknown) is a copy of the one that enrolled by its host."""
        return hardware not in ("", self.guest) and self.asked_with == by_host(self.guest)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, in hexadecimal digits."""
        return hashlib.sha256(der(self.authority)).hexdigest()


@dataclass(frozen=True, slots=True)
class Pending:
    """A key for which a certificate was asked, until that is there: an answer may be lost.

    asked_with: of what was shown for it, SHA-256 in hexadecimal digits. key: PEM.
    """

    asked_with: str
    key: str


def by_host(machine: str) -> str:
    """`asked_with` of what a machine of this UUID has asked its host for."""
    return hashlib.sha256(f"host\0{machine}".encode()).hexdigest()


_Kept = TypeVar("_Kept", Identity, Pending)


def encode(kept: Identity | Pending) -> bytes:
    """As ASCII JSON."""
    return json.dumps({"version": _VERSION, **asdict(kept)}, indent=1).encode() + b"\n"


def decode(data: bytes, kind: type[_Kept]) -> _Kept:
    """What was encoded. Raises NotKept."""
    try:
        said: Any = json.loads(data)
        if said["version"] != _VERSION:
            raise NotKept(f"it is of version {said['version']!r}, and this guest-stub knows {_VERSION}")
        made = kind(**{each.name: _value(said[each.name], each.type) for each in fields(kind)})
        if isinstance(made, Identity):
            _check(made)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as problem:
        raise NotKept(f"it is damaged ({type(problem).__name__}: {problem})") from problem
    return made


def _value(value: Any, wanted: Any) -> Any:
    if type(value) is int and wanted is float:
        value = float(value)
    if type(value) is not wanted or (wanted is str and not value):
        raise TypeError(f"a {type(value).__name__} in place of a {wanted.__name__}")
    if wanted is float and not 0 <= value <= _LAST_SECOND:  # nan as well
        raise ValueError(f"{value} is no time")
    if wanted is str:
        value.encode()
    return value


def _check(identity: Identity) -> None:
    der(identity.authority)
    if not host_and_port(identity.svm):
        raise ValueError(f"{identity.svm!r} is no address")


def pem(certificate: bytes) -> str:
    """A certificate's DER as PEM."""
    lines = base64.encodebytes(certificate).replace(b"\n", b"")
    wrapped = b"".join(lines[at : at + 64] + b"\n" for at in range(0, len(lines), 64))
    return (_BEGIN + wrapped + _END).decode()


def der(certificate: str) -> bytes:
    """The DER of a certificate that is PEM. Raises ValueError."""
    text = certificate.encode()
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise ValueError("no certificate")
    try:
        return base64.b64decode(text[len(_BEGIN) : -len(_END)].replace(b"\n", b""), validate=True)
    except binascii.Error as problem:
        raise ValueError("no certificate") from problem
