"""Looks at the identity's files as they are, for people: what is wrong with any of them is a sentence.

`files.load` is what the SVM uses, and stops at the first fault; here all of them are told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.domain.identity import SERVER_NAME
from appliance.identity.authority import Authority, AuthorityUnusable
from appliance.identity.files import MAX_FILE_BYTES
from appliance.identity.keys import MALFORMED
from appliance.regular import open_regular

_AGAIN = "`svm init` makes another once it was moved away"


@dataclass(frozen=True, slots=True)
class Seen:
    """A certificate of a file. begins, ends: seconds since the epoch. names: DNS names and IP addresses."""

    file: str
    begins: float
    ends: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspected:
    """The first certificate of each file, and sentences of what is wrong."""

    certificates: tuple[Seen, ...]
    problems: tuple[str, ...]


def inspect(directory: Path) -> Inspected:
    """Look at a directory that `svm init` made. Raises nothing for what may lie there."""
    problems: list[str] = []
    found: dict[str, list[x509.Certificate]] = {}
    for name in ("ca.pem", "chain.pem", "server.pem", "administrator.pem"):
        if name in ("chain.pem", "administrator.pem") and not (directory / name).exists():
            continue
        try:
            found[name] = x509.load_pem_x509_certificates(_content(directory / name))
        except (OSError, *MALFORMED) as error:
            problems.append(f"{name} cannot be used ({_why(error)}): restore it from a backup, or {_AGAIN}")
    problems += _authority_problems(directory, found)
    for name in ("server", "administrator"):
        if f"{name}.pem" in found:
            problems += _holder_problems(directory, name, found)
    seen = [_seen(name, certificates[0]) for name, certificates in found.items()]
    return Inspected(tuple(seen), tuple(problems))


def first_of(path: Path) -> Seen:
    """The first certificate of a PEM file of somebody else's. Raises OSError, ValueError."""
    return _seen(path.name, x509.load_pem_x509_certificates(_content(path))[0])


def inspect_holder(authority: bytes, certificate: bytes, key: bytes) -> Inspected:
    """Look at what somebody was issued, as PEM, before it is put anywhere. Raises nothing for what it is."""
    try:
        above, below = (x509.load_pem_x509_certificates(pem)[0] for pem in (authority, certificate))
        own = serialization.load_pem_private_key(key, None).public_key()
        if not _issued(below, above):
            return Inspected((), ("the certificate is not issued by the authority beside it",))
        if below.public_key() != own:
            return Inspected((), ("the certificate is for another key",))
    except MALFORMED as error:
        return Inspected((), (f"there is no certificate as PEM ({_why(error)})",))
    return Inspected((_seen("ca.pem", above), _seen("administrator.pem", below)), ())


def _authority_problems(directory: Path, found: dict[str, list[x509.Certificate]]) -> Iterator[str]:
    if "ca.pem" not in found:
        return
    try:
        chain = _content(directory / "chain.pem") if "chain.pem" in found else b""
        Authority.load(_content(directory / "ca.pem"), _content(directory / "ca.key"), chain)
    except (OSError, ValueError) as error:
        yield f"ca.key cannot be read ({_why(error)}): restore it from a backup; without it nobody can enrol"
    except AuthorityUnusable as error:
        yield f"ca.pem: {error}"


def _holder_problems(directory: Path, name: str, found: dict[str, list[x509.Certificate]]) -> Iterator[str]:
    """What is wrong with server.pem or administrator.pem."""
    certificates = found[f"{name}.pem"]
    try:
        key = serialization.load_pem_private_key(_content(directory / f"{name}.key"), None)
        if key.public_key() != certificates[0].public_key():
            yield f"{name}.key is not the key of {name}.pem: move both away, and {_AGAIN}"
    except FileNotFoundError:
        if name == "server":  # an administrator's key belongs elsewhere
            yield f"{name}.key is not there: restore it from a backup, or {_AGAIN}, as server.pem"
    except (OSError, *MALFORMED) as error:
        yield f"{name}.key cannot be used ({_why(error)}): restore it from a backup, or {_AGAIN}"
    above = found.get("ca.pem", [])[:1] + found.get("chain.pem", [])
    if above and not _issued(certificates[0], above[0]):
        yield f"{name}.pem is not issued by the authority in ca.pem: move it away, and {_AGAIN}"
    elif above and name == "server" and certificates[1:] != above:
        yield f"server.pem does not show the authority behind it, by which guests know it: {_AGAIN}"
    if name == "server" and SERVER_NAME not in _names(certificates[0]):
        yield f"server.pem is not for the name {SERVER_NAME}, by which guests know the SVM: {_AGAIN}"


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except MALFORMED:
        return False
    return True


def _seen(name: str, certificate: x509.Certificate) -> Seen:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Seen(name, begins.timestamp(), ends.timestamp(), tuple(_names(certificate)))


def _names(certificate: x509.Certificate) -> Sequence[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except MALFORMED:
        return ()
    return [str(name.value) for name in found.value if isinstance(name, x509.DNSName | x509.IPAddress)]


def _content(path: Path) -> bytes:
    with open_regular(path) as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
