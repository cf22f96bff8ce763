"""The authority of an SVM, taken from what that shows, and known by the fingerprint that a person was given.

Nothing that is shown counts before it has that fingerprint, and nothing is sent: the handshake is all there
is of this connection. It has one deadline for all of it, and OpenSSL takes no chain of more than 100 KiB.
"""

import hashlib
import hmac
import re
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from guest_stub.svm_link.target import SVM_NAME, IdentityProblem

if TYPE_CHECKING:
    import ssl

SECONDS = 15.0  # for all of it, but the time that the resolver of names takes
_ADDRESSES = 8  # of a host, that are tried
_HEX = re.compile(r"[0-9a-f]{64}")


class NotPinned(IdentityProblem):
    """The authority was not found at this SVM; the message says why and what to do."""


def fingerprint_of(text: str) -> bytes:
    """32 bytes of 64 hexadecimal digits, as svm and openssl print them. Raises ValueError."""
    digits = text.strip().lower().removeprefix("sha256:").removeprefix("sha256 fingerprint=").replace(":", "")
    if not _HEX.fullmatch(digits):
        raise ValueError(
            f"{text!r} is no fingerprint: it has 64 hexadecimal digits, as `svm init` has printed them"
        )
    return bytes.fromhex(digits)


def authority_of(host: str, port: int, fingerprint: bytes, seconds: float = SECONDS) -> bytes:
    """The certificate of the SVM's authority, DER. Blocks. Raises NotPinned."""
    where = f"{host}:{port}"
    try:
        shown = _shown(host, port, time.monotonic() + seconds)
    except TimeoutError as problem:
        raise NotPinned(
            f"{where}: nobody has shown a certificate within {seconds:g} s: is it the SVM's port?"
        ) from problem
    except OSError as problem:  # SSLError is one
        why = problem.strerror or str(problem)
        raise NotPinned(f"{where}: no certificate was shown: {why}: is it the SVM's port?") from problem
    for certificate in shown:
        if hmac.compare_digest(hashlib.sha256(certificate).digest(), fingerprint):
            return certificate
    raise NotPinned(
        f"{where}: what answers shows no certificate with the fingerprint {fingerprint.hex()}: compare it "
        "with what `svm init` has printed; if it is right, something else than your SVM is at this address"
    )


def _shown(host: str, port: int, end: float) -> list[bytes]:
    """The certificates that are shown, DER, which may be anybody's. Raises OSError."""
    context = _context()
    with (
        _connected(host, port, end) as connection,
        context.wrap_socket(connection, server_hostname=SVM_NAME, do_handshake_on_connect=False) as secure,
    ):
        secure.settimeout(_left(end))  # of the whole handshake, however slowly its pieces come
        secure.do_handshake()
        return _chain(secure)


def _connected(host: str, port: int, end: float) -> socket.socket:
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[:_ADDRESSES]
    failed: OSError = TimeoutError()
    for number, (family, kind, protocol, _, address) in enumerate(places):
        connection = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
        try:
            connection.settimeout(_left(end) / (len(places) - number))
            connection.connect(address)
            return connection
        except OSError as problem:
            failed = problem
            connection.close()
    raise failed


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _context() -> "ssl.SSLContext":
    """TLS 1.3 with anybody: whom to trust is what this is to find out."""
    if sys.modules.get("ssl", ...) is None:
        del sys.modules["ssl"]  # see guest_stub.lean: this program does use it
    import ssl  # noqa: PLC0415

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])  # without it gRPC does not go on
    return context


def _chain(secure: "ssl.SSLSocket") -> list[bytes]:
    """What was shown. Python 3.13 says it by itself; those before know it as well."""
    own: Any = secure
    if hasattr(own, "get_unverified_chain"):
        return list(own.get_unverified_chain())
    import _ssl  # noqa: PLC0415 - as above

    encoding: int = _ssl.ENCODING_DER
    return [each.public_bytes(encoding) for each in own._sslobj.get_unverified_chain() or ()]
