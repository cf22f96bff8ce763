"""What issues certificates."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.domain.caller import Caller, Role
from appliance.identity.authority import Authority, AuthorityUnusable, Life, ends_of, names_of, pem_of
from appliance.identity.keys import key_pem, new_key
from tests.support.identities import DAY, NOW, UUID, an_authority

GUEST = Caller(UUID, Role.GUEST, "acme")
SVM = Caller("one", Role.SVM)


def above(
    subject: str,
    below: ec.EllipticCurvePublicKey,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    ca: bool = True,
) -> x509.Certificate:
    """A certificate of a company's own authority."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    now = datetime.fromtimestamp(NOW, UTC)
    builder = x509.CertificateBuilder(names[1], names[0], below, 5, now - timedelta(1), now + timedelta(900))
    return builder.add_extension(x509.BasicConstraints(ca, None), True).sign(key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as a file has them."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def test_a_guests_certificate_says_who_it_is_and_can_stand_for_no_server() -> None:
    """In one URI and nowhere else; it begins an hour ago, for clocks differ."""
    key, authority = new_key(), an_authority()
    issued = authority.issue(key.public_key(), GUEST, NOW, 30)
    certificate = x509.load_der_x509_certificate(issued.der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [(type(name), name.value) for name in names.value] == [
        (x509.UniformResourceIdentifier, f"kvm-light-agent://guest/acme/{UUID}")
    ]
    assert (names.critical, list(certificate.subject)) == (True, [])
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_before_utc.timestamp() == NOW - 3600
    assert certificate.not_valid_after_utc.timestamp() == issued.record.ends_at == NOW + 30 * DAY
    assert issued.record.serial == f"{certificate.serial_number:x}"
    assert issued.record.sha256 == certificate.fingerprint(hashes.SHA256())


def test_a_server_has_the_name_that_clients_know_and_its_addresses() -> None:
    """Each once."""
    issued = an_authority().issue(
        new_key().public_key(), SVM, NOW, 800, ["10.0.0.1", "h.example", "10.0.0.1", "::1"]
    )
    assert names_of(pem_of(issued.der)) == ["svm.kvm-light-agent", "10.0.0.1", "h.example", "::1"]
    assert ends_of(pem_of(issued.der)) == issued.record.ends_at
    certificate = x509.load_der_x509_certificate(issued.der)
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


def test_no_two_certificates_have_one_number() -> None:
    """Of 20 bytes, drawn at random."""
    authority, key = an_authority(), new_key().public_key()
    serials = {authority.issue(key, GUEST, NOW, 30).record.serial for _ in range(50)}
    assert len(serials) == 50
    assert min(map(len, serials)) > 30


def test_nothing_outlives_its_authority() -> None:
    """Nor is anything issued when its time is over."""
    authority, key = an_authority(years=0.01), new_key().public_key()
    assert authority.issue(key, GUEST, NOW, 30).record.ends_at == authority.ends_at < NOW + 4 * DAY
    with pytest.raises(AuthorityUnusable, match="has expired"):
        authority.issue(key, GUEST, NOW + 10 * DAY, 30)


def test_openssl_finds_nothing_wrong(tmp_path: Path) -> None:
    """With the strictest checks that it has, and for the use that the certificate is for."""
    authority = an_authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    for role, use, fits in (
        (GUEST, "sslclient", True),
        (GUEST, "sslserver", False),
        (SVM, "sslserver", True),
        (SVM, "sslclient", True),
    ):
        (tmp_path / "one.pem").write_bytes(pem_of(authority.issue(new_key().public_key(), role, NOW, 30).der))
        checks = ["-x509_strict", "-attime", str(int(NOW)), "-purpose", use]
        files = ["-CAfile", str(tmp_path / "ca.pem"), str(tmp_path / "one.pem")]
        command = ["openssl", "verify", *checks, *files]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ran.returncode == 0) is fits, ran


def test_a_companys_own_authority_issues_under_its_chain(tmp_path: Path) -> None:
    """Whatever its key is of, and however it is called."""
    root, middle, own = new_key(), new_key(), rsa.generate_private_key(65537, 2048)
    chain = [above("m", middle.public_key(), "r", root), above("r", root.public_key(), "r", root)]
    certificate = above("o", own.public_key(), "m", middle)  # type: ignore[arg-type]
    authority = Authority.load(pem(certificate), key_pem(own), pem(*chain))  # type: ignore[arg-type]
    issued = authority.issue(new_key().public_key(), GUEST, NOW, 30)
    made = x509.load_der_x509_certificate(issued.der)
    made.verify_directly_issued_by(certificate)
    assert authority.chain == [
        each.public_bytes(serialization.Encoding.DER) for each in (certificate, *chain)
    ]
    assert authority.chain_pem == pem(certificate, *chain)
    assert authority.sha256 == certificate.fingerprint(hashes.SHA256())
    again = Authority.load(authority.pem, key_pem(own))  # type: ignore[arg-type]
    assert again.sha256 == authority.sha256


def test_what_cannot_issue_is_refused_before_it_is_kept() -> None:
    """With a sentence for each."""
    key, other = new_key(), new_key()
    own = above("o", key.public_key(), "r", other)
    root = above("r", other.public_key(), "r", other)
    weak = rsa.generate_private_key(65537, 1024)
    of_edward = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    for certificate, secret, chain, why in (
        (pem(own), key_pem(other), b"", "not that of its certificate"),
        (pem(own), of_edward, b"", "of another kind"),
        (pem(own), locked, b"", "cannot be used"),
        (pem(own), b"x", b"", "cannot be used"),
        (b"x", key_pem(key), b"", "no PEM"),
        (pem(own), key_pem(key), b"x", "no PEM"),
        (pem(own), key_pem(key), pem(own), "does not lead upwards"),
        (pem(above("o", key.public_key(), "r", other, ca=False)), key_pem(key), b"", "may not issue"),
        (pem(own), key_pem(key), pem(above("r", other.public_key(), "r", other, ca=False)), "may not issue"),
        (pem(above("o", weak.public_key(), "r", other)), key_pem(weak), b"", "1024 bits"),  # type: ignore[arg-type]
    ):
        with pytest.raises(AuthorityUnusable, match=why):
            Authority.load(certificate, secret, chain)
    assert Authority.load(pem(own), key_pem(key), pem(root)).chain_pem == pem(own, root)


def test_an_authority_that_is_made_anew_is_another() -> None:
    """It signs itself, and has no chain."""
    life = Life(int(NOW), int(NOW + DAY))
    one, key = Authority.make("one", life)
    two, _ = Authority.make("one", life)
    assert one.sha256 != two.sha256
    assert (len(one.chain), one.ends_at) == (1, NOW + DAY)
    assert Authority.load(one.pem, key_pem(key)).sha256 == one.sha256
