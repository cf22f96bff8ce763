"""Tests of the bytes of an identity."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.identity.kept import Identity, NotKept, Pending, by_host, decode, der, encode, pem
from tests.support.authority import Authority

CA = Authority()
SOUND = Identity(
    "tcp:10.0.0.1:7443", "1111", "default", CA.issued.pem.decode(), "cert", "key", 1.5, 3e9, 2e9, "ab"
)


def test_what_is_kept_comes_back() -> None:
    """Both kinds."""
    assert decode(encode(SOUND), Identity) == SOUND
    assert decode(encode(Pending("ab", "key")), Pending) == Pending("ab", "key")


def test_the_fingerprint_is_that_of_the_authority() -> None:
    """As openssl prints it, without colons."""
    assert SOUND.fingerprint == CA.fingerprint


def test_pem_is_as_others_write_it() -> None:
    """To the byte, and back."""
    assert pem(CA.issued.der) == CA.issued.pem.decode()
    assert der(pem(CA.issued.der)) == CA.issued.der


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"svm": 1},
        {"svm": ""},
        {"svm": "unix:/x"},
        {"guest": None},
        {"authority": "no certificate"},
        {"authority": "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n"},
        {"ends": "soon"},
        {"ends": True},
        {"ends": 10**400},
    ],
)
def test_what_is_not_whole_is_refused(changed: dict[str, Any]) -> None:
    """Whatever was done to the file."""
    said = json.loads(encode(SOUND)) | changed
    with pytest.raises(NotKept):
        decode(json.dumps(said).encode(), Identity)
    del said[next(iter(changed))]
    with pytest.raises(NotKept):
        decode(json.dumps(said).encode(), Identity)


@given(st.one_of(st.binary(max_size=200), st.sampled_from([b"[" * 5000, b"[]", b"null", b"1" * 5000])))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    """There is no other end."""
    with pytest.raises(NotKept):
        decode(data, Identity)
    with pytest.raises(NotKept):
        decode(data, Pending)


def test_numbers_may_be_whole() -> None:
    """A person who edits a time writes no fraction."""
    said = json.loads(encode(SOUND)) | {"renew_at": 0}
    assert decode(json.dumps(said).encode(), Identity) == replace(SOUND, renew_at=0.0)


def test_a_copy_of_what_enrolled_by_its_host_is_known() -> None:
    """By the hardware's UUID, where that is known; who enrolled by a token is not bound to it."""
    enrolled = replace(SOUND, asked_with=by_host(SOUND.guest))
    assert enrolled.is_of_another("2222")
    assert not enrolled.is_of_another(SOUND.guest)
    assert not enrolled.is_of_another("")
    assert not SOUND.is_of_another("2222")
