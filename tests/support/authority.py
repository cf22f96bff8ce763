"""An authority for tests: certificates such as an SVM's own issues, and such as it never would."""

import datetime
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from guest_stub.svm_link.target import Proof

SVM_NAME = "svm.kvm-light-agent"
DAY = 86_400.0
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER


@dataclass(frozen=True)
class Issued:
    """A certificate, and its key where this authority made that."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None = None

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(_DER)

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(_PEM)

    @property
    def key_pem(self) -> bytes:
        """The key."""
        assert self.key is not None
        return self.key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@dataclass(frozen=True)
class Wanted:
    """What a certificate says. begins, ends: seconds from now."""

    uri: str = ""
    dns: Sequence[str] = ()
    server: bool = False
    begins: float = -3600.0
    ends: float = 30 * DAY


class Authority:
    """One that signs itself, or is below another."""

    def __init__(
        self, name: str = "kvm-light-agent", above: "Authority | None" = None, begins: float = -3600.0
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer, signing = (above.name, above.key) if above is not None else (self.name, self.key)
        builder = _begin(self.name, issuer, Wanted(begins=begins, ends=3650 * DAY))
        builder = builder.public_key(self.key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.issued = Issued(builder.sign(signing, hashes.SHA256()), self.key)
        self.chain: list[bytes] = [
            self.issued.der,
            *(above.chain if above is not None else []),
        ]  # with those above

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hexadecimal digits."""
        return hashlib.sha256(self.issued.der).hexdigest()

    def issue(self, wanted: Wanted, key: ec.EllipticCurvePublicKey | None = None) -> Issued:
        """A certificate; for a new key where none is given."""
        own = ec.generate_private_key(ec.SECP256R1()) if key is None else None
        public = key if key is not None else own.public_key()  # type: ignore[union-attr]
        names: list[x509.GeneralName] = [x509.DNSName(each) for each in wanted.dns]
        names += [x509.UniformResourceIdentifier(wanted.uri)] if wanted.uri else []
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
        usage += [ExtendedKeyUsageOID.SERVER_AUTH] if wanted.server else []
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
        builder = _begin(name, self.name, wanted).public_key(public)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Issued(builder.sign(self.key, hashes.SHA256()), own)

    def server(self, wanted: Wanted | None = None) -> Issued:
        """An SVM's own."""
        return self.issue(wanted or Wanted("kvm-light-agent://svm/test", (SVM_NAME,), server=True))

    def guest(self, guest: str, begins: float = -3600.0, ends: float = 30 * DAY) -> Issued:
        """A guest's, with a key that is made here. begins, ends: see Wanted."""
        return self.issue(Wanted(guest_uri(guest), begins=begins, ends=ends))


def guest_uri(guest: str, tenant: str = "default") -> str:
    """Who a guest is."""
    return f"kvm-light-agent://guest/{tenant}/{guest}"


def proof_of(authority: Authority, begins: float = -3600.0, ends: float = 30 * DAY) -> Proof:
    """What a guest of this authority shows. begins, ends: of its certificate, in seconds from now."""
    issued, now = authority.guest(str(uuid4()), begins, ends), time.time()
    return Proof(authority.issued.pem, issued.pem, issued.key_pem, now + begins, now + ends)


def _begin(name: x509.Name, issuer: x509.Name, wanted: Wanted) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(seconds=wanted.begins))
        .not_valid_after(now + datetime.timedelta(seconds=wanted.ends))
    )
