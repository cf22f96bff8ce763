"""Requests for certificates: hostile until they are parsed, and after."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from appliance.identity.keys import (
    MAX_CSR_BYTES,
    BadCsr,
    csr_for,
    key_pem,
    key_sha256,
    new_key,
    public_key_of,
)

KEY = new_key()
SOUND = csr_for(KEY)


def signed(key: object, algorithm: hashes.HashAlgorithm | None) -> bytes:
    """A request by any key, with a name in it, which is nobody's concern."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "provider")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = builder.sign(key, algorithm)  # type: ignore[arg-type]
    return request.public_bytes(serialization.Encoding.DER)


def test_the_key_of_a_sound_request_is_had() -> None:
    """And known again, whatever else the request says."""
    assert public_key_of(SOUND) == KEY.public_key()
    again = public_key_of(signed(KEY, hashes.SHA384()))
    assert key_sha256(again) == key_sha256(KEY.public_key())
    assert key_sha256(new_key().public_key()) != key_sha256(KEY.public_key())
    assert b"BEGIN PRIVATE KEY" in key_pem(KEY)


@pytest.mark.parametrize(
    ("csr", "why"),
    [
        (b"", "0 bytes"),
        (b"x" * (MAX_CSR_BYTES + 1), "4097 bytes"),
        (b"x", "no PKCS#10"),
        (SOUND + b"x", "no PKCS#10"),
        (SOUND[:-1], "no PKCS#10"),
        (signed(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()), "another kind"),
        (signed(rsa.generate_private_key(65537, 2048), hashes.SHA256()), "another kind"),
        (signed(ed25519.Ed25519PrivateKey.generate(), None), "another kind"),
    ],
)
def test_what_is_no_sound_request_is_refused(csr: bytes, why: str) -> None:
    """With a sentence."""
    with pytest.raises(BadCsr, match=why):
        public_key_of(csr)


def test_who_does_not_hold_the_key_gets_no_certificate_for_it() -> None:
    """The request of another, with one's own signature or none that fits."""
    body = bytearray(SOUND)
    body[-1] ^= 1
    with pytest.raises(BadCsr):
        public_key_of(bytes(body))
    other = csr_for(new_key())
    point = KEY.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    at = other.index(b"\x04", other.index(b"\x03\x42\x00"))
    with pytest.raises(BadCsr, match="not signed by the key"):
        public_key_of(other[:at] + point + other[at + 65 :])


@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_no_change_to_a_request_is_more_than_a_bad_request(changes: list[tuple[int, int]]) -> None:
    """It is refused, or it is for the key that signed it."""
    body = bytearray(SOUND)
    for at, value in changes:
        body[at] = value
    try:
        key = public_key_of(bytes(body))
    except BadCsr:
        return
    assert bytes(body) == SOUND or key_sha256(key) == key_sha256(KEY.public_key())


def test_a_request_of_another_version_is_a_bad_request() -> None:
    """PKCS#10 knows version 0 alone; the library has an error of its own for others."""
    at = SOUND.index(b"\x02\x01\x00")
    with pytest.raises(BadCsr):
        public_key_of(SOUND[:at] + b"\x02\x01\x01" + SOUND[at + 3 :])


@given(st.binary(max_size=600))
def test_no_bytes_are_more_than_a_bad_request(said: bytes) -> None:
    """Whatever they are."""
    with pytest.raises(BadCsr):
        public_key_of(said)
