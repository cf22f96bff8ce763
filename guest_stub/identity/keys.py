"""The guest's key, the request for a certificate, and whether what is answered is one. Imports cryptography.

ECDSA on P-256. The key is made here and never leaves; what an SVM answers is believed in nothing that is not
checked: it has to be for this key, to be issued below the authority that was pinned, and to count now by this
guest's clock.
"""

import hashlib
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from guest_stub.identity.kept import der, pem
from guest_stub.svm_link.enrolment import Answer
from guest_stub.svm_link.target import IdentityProblem

MAX_CHAIN = 8
MAX_TENANT = 128  # letters
_SCHEME = "kvm-light-agent"
_WRONG = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    x509.DuplicateExtension,
)


class Unsound(IdentityProblem):
    """What was answered is no certificate for this guest; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was checked. certificate, begins, ends: as in Proof."""

    guest: str
    tenant: str
    certificate: str
    begins: float
    ends: float


def make_key() -> str:
    """Make a key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_sha256(key: str) -> bytes:
    """SHA-256 of the public key of a key, in DER. Raises Unsound for what is no key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(_private(key).public_key().public_bytes(serialization.Encoding.DER, form)).digest()


def request(key: str) -> bytes:
    """A request for a certificate for this key, PKCS#10, DER. Raises Unsound for what is no key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "guest")])  # which the SVM does not look at
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(_private(key), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def examine(answer: Answer, key: str, authority: str, now: float) -> Issued:
    """What is answered, if all of it is sound. Raises Unsound.

    authority: the one that was pinned, PEM. now: by this guest's clock, in seconds since 1970.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd certificates, which are nobody's but the SVM's business
            leaf = x509.load_der_x509_certificate(answer.certificate)
            public = leaf.public_key()
            guest, tenant = _named(leaf)
            chain = _up_to(der(authority), answer.chain)
            _check_issued([leaf, *map(x509.load_der_x509_certificate, chain)])
    except _WRONG as problem:
        raise Unsound(
            "what the SVM has answered is no guest's certificate of its authority "
            f"({type(problem).__name__}: {problem}): nothing was kept; tell whoever runs it"
        ) from problem
    if public != _private(key).public_key():
        raise Unsound(
            "the SVM has answered with a certificate for another key: nothing was kept; tell who runs it"
        )
    begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    if not begins <= now < ends:
        raise Unsound(
            f"the certificate counts from {_time(begins)} to {_time(ends)}, and this guest's clock says "
            f"{_time(now)}: set the clock of whoever is wrong, and try again"
        )
    return Issued(guest, tenant, "".join(map(pem, (answer.certificate, *chain))), begins, ends)


def _private(key: str) -> ec.EllipticCurvePrivateKey:
    try:
        made = serialization.load_pem_private_key(key.encode(), None)
    except _WRONG as problem:
        raise Unsound(f"the key that is kept is none ({problem}): enrol anew") from problem
    if not isinstance(made, ec.EllipticCurvePrivateKey):
        raise Unsound("the key that is kept is no ECDSA key: enrol anew")
    return made


def _up_to(pinned: bytes, chain: Sequence[bytes]) -> list[bytes]:
    """The certificates from the issuer to the one that was pinned, which need not be sent. Raises ValueError.

    What may be above that counts for nothing.
    """
    if len(chain) > MAX_CHAIN:
        raise ValueError(f"a chain of {len(chain)} certificates")
    return [*chain[: chain.index(pinned)], pinned] if pinned in chain else [*chain, pinned]


def _check_issued(chain: Sequence[x509.Certificate]) -> None:
    """Each is issued by the next. Raises ValueError and InvalidSignature."""
    for issued, issuer in pairwise(chain):
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise ValueError("an issuer that may not issue")
        issued.verify_directly_issued_by(issuer)


def _named(leaf: x509.Certificate) -> tuple[str, str]:
    """(guest, tenant) that a certificate names. Raises ValueError."""
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    parts = urlsplit(uris[0]) if len(uris) == 1 else None
    if parts is None or (parts.scheme, parts.netloc) != (_SCHEME, "guest"):
        raise ValueError("it is no guest's")
    _, tenant, guest = parts.path.split("/")
    if str(UUID(guest)) != guest or not tenant or len(tenant) > MAX_TENANT or not tenant.isprintable():
        raise ValueError("it names no guest")
    return guest, tenant


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
