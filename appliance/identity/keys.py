"""Keys, and requests for certificates: all are of ECDSA on P-256.

A request comes from whoever has a token, or from a guest. It is small before it is parsed, and nothing of it
is used but the public key, whose holder has signed the request.
"""

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

MAX_CSR_BYTES = 4096

# What cryptography raises for bytes that are not what they should be: not all of it is a ValueError.
MALFORMED = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class BadCsr(ValueError):
    """The bytes are no request that a certificate can be issued for; the message says why."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """Draw a key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as PEM of PKCS#8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def csr_for(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a request for a key, in DER."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def public_key_of(csr: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key that a request in DER is for. Raises BadCsr."""
    if not 0 < len(csr) <= MAX_CSR_BYTES:
        raise BadCsr(f"csr has {len(csr)} bytes: give 1 to {MAX_CSR_BYTES}")
    try:
        request = x509.load_der_x509_csr(csr)
        key = request.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadCsr("csr is for a key of another kind: give one of ECDSA on P-256")
        if not isinstance(request.signature_hash_algorithm, _HASHES) or not request.is_signature_valid:
            raise BadCsr("csr is not signed by the key that it is for: sign it with ECDSA and SHA-256")
    except MALFORMED as error:
        if isinstance(error, BadCsr):
            raise
        raise BadCsr("csr is no PKCS#10 request in DER") from error
    return key


def key_sha256(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the SHA-256 of a public key as it stands in a certificate."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).digest()
