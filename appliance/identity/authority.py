"""The SVM's authority: what makes certificates out of public keys.

It is made by `svm init`, or given to that: then its certificate may be below others, which are its chain.
What it issues says in one URI of subjectAltName whose it is (see `names`), and nothing of that comes from a
request.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.domain.caller import Caller, Role
from appliance.domain.identity import SERVER_NAME, Certificate
from appliance.identity.keys import MALFORMED, new_key
from appliance.identity.names import uri_of

SLACK_SECONDS = 3600  # that a certificate begins to count before it is issued: clocks differ

_LEAST_RSA_BITS = 2048
_DER = serialization.Encoding.DER

AuthorityKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class AuthorityUnusable(Exception):
    """An authority cannot issue; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when a certificate counts, in whole seconds since the epoch."""

    begins: int
    ends: int


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was made, in DER, and what is to be known of it."""

    der: bytes
    record: Certificate


class Authority:
    """Issues certificates. chain: the certificates above its own, the next first."""

    def __init__(
        self, certificate: x509.Certificate, key: AuthorityKey, chain: Sequence[x509.Certificate] = ()
    ) -> None:
        """Raises AuthorityUnusable where these do not belong together, or may not issue."""
        _check(certificate, key, chain)
        self._certificate = certificate
        self._key = key
        self._chain = tuple(chain)

    @classmethod
    def make(cls, name: str, life: Life) -> tuple["Authority", ec.EllipticCurvePrivateKey]:
        """Make one that signs itself. name: for people."""
        key = new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"KVM Light Agent {name}"[:64])])
        builder = _begun(key.public_key(), subject, subject, life, x509.random_serial_number())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(authority=True), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())
        return cls(certificate, key), key

    @classmethod
    def load(cls, certificate: bytes, key: bytes, chain: bytes = b"") -> "Authority":
        """From PEM. Raises AuthorityUnusable."""
        try:
            own = x509.load_pem_x509_certificate(certificate)
            above = x509.load_pem_x509_certificates(chain) if chain.strip() else []
        except MALFORMED as error:
            raise AuthorityUnusable(f"the authority's certificates are no PEM: {error}") from error
        try:
            secret = serialization.load_pem_private_key(key, password=None)
        except MALFORMED as error:
            raise AuthorityUnusable(
                f"the authority's key cannot be used ({error}): give PEM that is not encrypted"
            ) from error
        if not isinstance(secret, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise AuthorityUnusable("the authority's key is of another kind: give one of ECDSA or RSA")
        return cls(own, secret, above)

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def chain(self) -> list[bytes]:
        """Its certificate and those above, in DER: what goes with what it issues."""
        return [certificate.public_bytes(_DER) for certificate in (self._certificate, *self._chain)]

    @property
    def chain_pem(self) -> bytes:
        """The same as PEM."""
        whole = (self._certificate, *self._chain)
        return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in whole)

    @property
    def sha256(self) -> bytes:
        """SHA-256 of its certificate in DER: by which clients know it."""
        return hashlib.sha256(self._certificate.public_bytes(_DER)).digest()

    @property
    def ends_at(self) -> float:
        """Until when it can issue, in seconds since the epoch."""
        return self._certificate.not_valid_after_utc.timestamp()

    def issue(
        self,
        key: ec.EllipticCurvePublicKey,
        holder: Caller,
        now: float,
        days: float,
        names: Sequence[str] = (),
    ) -> Issued:
        """Make a certificate; it ends with the authority at the latest. Raises BadName, AuthorityUnusable.

        now: seconds since the epoch. names: DNS names and IP addresses, of a server.
        """
        life = Life(int(now) - SLACK_SECONDS, min(int(now + days * 86400), int(self.ends_at)))
        if life.ends <= now:
            raise AuthorityUnusable("the SVM's authority has expired: make a new one with `svm init`")
        serial = x509.random_serial_number()
        builder = _begun(key, x509.Name([]), self._certificate.subject, life, serial)
        named: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri_of(holder))]
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if holder.role is Role.SVM:
            uses.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
            named += map(_general, dict.fromkeys((SERVER_NAME, *names)))
        builder = builder.add_extension(x509.SubjectAlternativeName(named), critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        builder = builder.add_extension(self._identifier(), critical=False)
        der = builder.sign(self._key, hashes.SHA256()).public_bytes(_DER)
        sha256 = hashlib.sha256(der).digest()
        return Issued(der, Certificate(sha256, f"{serial:x}", uri_of(holder), now, life.ends))

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        try:  # one that was given may have made up its own
            own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def pem_of(der: bytes) -> bytes:
    """Return a certificate as PEM."""
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


def names_of(pem: bytes) -> list[str]:
    """The DNS names and IP addresses in the first certificate of a PEM file. Raises ValueError."""
    try:
        extensions = x509.load_pem_x509_certificates(pem)[0].extensions
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except MALFORMED as error:
        raise ValueError(f"the certificate's names cannot be read: {error}") from error
    return [str(name.value) for name in found.value if isinstance(name, x509.DNSName | x509.IPAddress)]


def ends_of(pem: bytes) -> float:
    """When the first certificate of a PEM file ends, in seconds since the epoch. Raises ValueError."""
    try:
        return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc.timestamp()
    except MALFORMED as error:
        raise ValueError(f"the certificate cannot be read: {error}") from error


def _begun(
    key: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name, life: Life, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(datetime.fromtimestamp(life.begins, UTC))
        .not_valid_after(datetime.fromtimestamp(life.ends, UTC))
    )


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _check(certificate: x509.Certificate, key: AuthorityKey, chain: Sequence[x509.Certificate]) -> None:
    try:
        belongs = certificate.public_key() == key.public_key()
    except MALFORMED:
        belongs = False
    if not belongs:
        raise AuthorityUnusable("the authority's key is not that of its certificate: give both of one")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA_BITS:
        raise AuthorityUnusable(
            f"the authority's key has {key.key_size} bits: give at least {_LEAST_RSA_BITS}"
        )
    for below, above in zip((certificate, *chain), chain, strict=False):
        try:
            below.verify_directly_issued_by(above)
        except MALFORMED as error:
            raise AuthorityUnusable(
                "the authority's chain does not lead upwards: give the certificates above it, the next first"
            ) from error
    if not all(map(_may_issue, (certificate, *chain))):
        raise AuthorityUnusable("the authority's certificate, or one above it, may not issue others")


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca:
            return False
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid
    except MALFORMED:
        return False
