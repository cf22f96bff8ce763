"""Tests of keys, requests, and of what is believed of an answer."""

import hashlib
import time
from dataclasses import replace
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.identity.kept import pem
from guest_stub.identity.keys import MAX_CHAIN, Unsound, examine, make_key, public_sha256, request
from guest_stub.svm_link.enrolment import Answer
from tests.support.authority import DAY, Authority, Wanted, guest_uri

CA, OTHER = Authority(), Authority()
KEY, GUEST = make_key(), str(uuid4())
PINNED = CA.issued.pem.decode()


def public(key: str) -> ec.EllipticCurvePublicKey:
    """The public half."""
    made = serialization.load_pem_private_key(key.encode(), None)
    assert isinstance(made, ec.EllipticCurvePrivateKey)
    return made.public_key()


def answered(authority: Authority = CA, key: str = KEY, **more: object) -> Answer:
    """A sound answer, or one that differs in something. more: see Wanted."""
    wanted = replace(Wanted(guest_uri(GUEST, "red")), **more)  # type: ignore[arg-type]
    leaf = authority.issue(wanted, public(key))
    return Answer(leaf.der, (authority.issued.der,), GUEST, "red", 20 * DAY)


def test_a_key_is_of_the_curve_that_is_agreed_on() -> None:
    """P-256, and never the same twice; its request names it and is signed by it."""
    assert public(KEY).curve.name == "secp256r1"
    assert make_key() != KEY
    asked = x509.load_der_x509_csr(request(KEY))
    assert asked.is_signature_valid
    assert asked.public_key() == public(KEY)
    assert len(request(KEY)) < 4096


def test_a_sound_answer_is_taken() -> None:
    """It says whose it is, and when it counts; the chain goes with it."""
    issued = examine(answered(), KEY, PINNED, time.time())
    assert (issued.guest, issued.tenant) == (GUEST, "red")
    assert issued.certificate == pem(answered_der(issued.certificate)) + PINNED
    assert issued.begins < time.time() < issued.ends


def answered_der(chain: str) -> bytes:
    """The first certificate of a chain."""
    return x509.load_pem_x509_certificate(chain.encode()).public_bytes(serialization.Encoding.DER)


def test_one_between_is_taken() -> None:
    """Where the SVM's authority is below the one that was pinned; the last of a chain need not be sent."""
    between = Authority("between", above=CA)
    answer = answered(between)
    for chain in ((between.issued.der, CA.issued.der), (between.issued.der,)):
        assert examine(replace(answer, chain=chain), KEY, PINNED, time.time()).guest == GUEST


def test_what_is_above_the_pinned_one_counts_for_nothing() -> None:
    """An SVM's authority may be below another of its owner's; it is the one that guests pin."""
    between = Authority("between", above=OTHER)
    pinned = between.issued.pem.decode()
    for above in ((), (OTHER.issued.der,), (b"anything",)):
        answer = replace(answered(between), chain=(between.issued.der, *above))
        assert examine(answer, KEY, pinned, time.time()).certificate.endswith(pinned)
    with pytest.raises(Unsound, match="no guest's certificate of its authority"):
        examine(replace(answered(OTHER), chain=(OTHER.issued.der,)), KEY, pinned, time.time())


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (answered(key=make_key()), "a certificate for another key"),
        (answered(OTHER), "no guest's certificate of its authority"),
        (replace(answered(OTHER), chain=(CA.issued.der,)), "no guest's certificate of its authority"),
        (replace(answered(), chain=(OTHER.issued.der,)), "no guest's certificate of its authority"),
        (replace(answered(), chain=(CA.issued.der,) * (MAX_CHAIN + 1)), "no guest's certificate"),
        (replace(answered(), chain=(b"x",)), "no guest's certificate"),
        (replace(answered(), certificate=b""), "no guest's certificate"),
        (answered(uri=""), "no guest's certificate"),
        (answered(uri="kvm-light-agent://administrator/provider/x"), "no guest's certificate"),
        (answered(uri="https://guest/red/" + GUEST), "no guest's certificate"),
        (answered(uri=guest_uri("me", "red")), "no guest's certificate"),
        (answered(uri=guest_uri(GUEST, "")), "no guest's certificate"),
        (answered(uri=guest_uri(GUEST, "a/b")), "no guest's certificate"),
        (
            answered(begins=DAY),
            "this guest's clock says",
        ),  # made when the file is loaded, long before it runs
        (answered(begins=-7200.0, ends=-60.0), "this guest's clock says"),
    ],
)
def test_what_is_not_sound_is_refused(answer: Answer, sentence: str) -> None:
    """Another key, another authority, another's name, another time."""
    with pytest.raises(Unsound, match=sentence):
        examine(answer, KEY, PINNED, time.time())


def test_a_guest_issues_nothing() -> None:
    """A certificate that another guest's key has signed counts for nothing, although the chain leads up."""
    evil = Authority("evil")
    leaf = CA.issue(Wanted(guest_uri(str(uuid4()))), evil.key.public_key())
    evil.name = leaf.certificate.subject
    answer = replace(answered(evil), chain=(leaf.der, CA.issued.der))
    with pytest.raises(Unsound, match="no guest's certificate of its authority"):
        examine(answer, KEY, PINNED, time.time())


@given(st.binary(max_size=300), st.lists(st.binary(max_size=100), max_size=3))
def test_any_bytes_are_refused(certificate: bytes, chain: list[bytes]) -> None:
    """With a sentence."""
    with pytest.raises(Unsound):
        examine(Answer(certificate, tuple(chain), "", "", 0.0), KEY, PINNED, 0.0)


@pytest.mark.parametrize("by", [1, 128, 255])
def test_a_certificate_with_a_changed_byte_is_refused(by: int) -> None:
    """Wherever it is in what is signed."""
    sound = answered()
    signed = x509.load_der_x509_certificate(sound.certificate).tbs_certificate_bytes
    begins = sound.certificate.index(signed)
    for at in range(begins, begins + len(signed)):
        changed = bytearray(sound.certificate)
        changed[at] ^= by
        with pytest.raises(Unsound):
            examine(replace(sound, certificate=bytes(changed)), KEY, PINNED, time.time())


def test_what_is_no_key_says_so() -> None:
    """As a file that somebody has edited."""
    with pytest.raises(Unsound, match="the key that is kept is none"):
        request("no key")


def test_the_digest_of_a_key_is_what_the_svm_makes_of_the_request() -> None:
    """By which a token is for this key alone."""
    key = make_key()
    asked = x509.load_der_x509_csr(request(key)).public_key()
    der = asked.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert public_sha256(key) == hashlib.sha256(der).digest()
