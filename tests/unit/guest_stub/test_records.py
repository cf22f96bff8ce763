"""Tests of the bytes of a kept decision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_digest

from guest_stub.decision import FileId
from guest_stub.outcome import Outcome
from guest_stub.records import (
    DIGEST_ONLY,
    FORMAT,
    Record,
    Seen,
    changed_ns,
    decode,
    device_of,
    digest_only,
    encode,
    identify,
    inode_of,
    seen,
    sha256_of,
    texts,
    without_verdict,
)

FILE = FileId(65024, 4711, 1234, 1_700_000_000_123_456_789, 1_700_000_001_987_654_321)
STAMP_BYTES = 25
DIGEST = bytes(range(32))
RECORD = Record(0xFEDCBA9876543210, 2_000_000_000, Outcome.NOT_DETECTED, DIGEST)


def test_a_record_comes_back_as_it_was() -> None:
    """What is encoded is decoded, with its stamp in front."""
    _, stamp = identify(FILE)
    value = encode(stamp, RECORD)
    assert value.startswith(stamp)
    assert decode(value) == RECORD


def test_a_plain_record_and_its_key_take_ninety_bytes() -> None:
    """200,000 decisions stay small."""
    key, stamp = identify(FILE)
    assert len(key) + len(encode(stamp, RECORD)) == 90


def test_a_detection_keeps_its_words() -> None:
    """Threat, engine, member and category come back."""
    _, stamp = identify(FILE)
    said = texts("Eicar", "eicar", "a/b.com", "Test")
    record = decode(encode(stamp, RECORD._replace(outcome=Outcome.MALICIOUS, texts=said)))
    assert record is not None
    assert record.said() == ("Eicar", "eicar", "a/b.com", "Test")
    assert record._replace(texts=b"Eicar\0eicar\0a").said() == (
        "Eicar",
        "eicar",
        "a",
        "",
    )  # an earlier stub's


def test_a_record_without_words_has_no_threat() -> None:
    """A verdict that is no detection gives empty words."""
    assert RECORD.said() == ("", "", "", "")


@pytest.mark.parametrize("position", range(78))
def test_a_changed_byte_is_noticed(position: int) -> None:
    """A record with any byte changed does not decode."""
    _, stamp = identify(FILE)
    value = bytearray(encode(stamp, RECORD))
    value[position] ^= 0x40
    assert decode(bytes(value)) is None


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_no_bytes_make_decode_fail(value: bytes, of_our_format: bool, sound_checksum: bool) -> None:
    """Whatever stands in the store, decode gives None, or a record whose value it is."""
    if of_our_format:
        value = bytes([FORMAT]) + value
    if sound_checksum:
        value += xxh3_64_digest(value)
    record = decode(value)
    assert record is None or encode(value[:STAMP_BYTES], record) == value


def test_an_outcome_that_is_no_verdict_is_refused() -> None:
    """A record that says PENDING, say, is not believed."""
    _, stamp = identify(FILE)
    assert decode(encode(stamp, RECORD._replace(outcome=Outcome.PENDING))) is None


def test_a_verdict_counts_for_its_generation_and_time() -> None:
    """Another generation, or the end of its time, voids it."""
    assert RECORD.counts(RECORD.generation, 1_999_999_999)
    assert not RECORD.counts(RECORD.generation + 1, 1_999_999_999)
    assert not RECORD.counts(RECORD.generation, 2_000_000_000)


def test_a_digest_alone_never_counts() -> None:
    """Where only the digest is known, the SVM has to be asked."""
    record = digest_only(DIGEST)
    assert record.outcome == DIGEST_ONLY
    assert not record.counts(0, 0.0)


@given(
    st.tuples(
        st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1),
        st.integers(-(2**80), 2**80), st.integers(-(2**80), 2**80),
    )
)  # fmt: skip
def test_every_file_has_an_identity(numbers: tuple[int, int, int, int, int]) -> None:
    """Numbers out of range give a key and a stamp of the same lengths as others."""
    key, stamp = identify(FileId(*numbers))
    assert (len(key), len(stamp)) == (12, 25)


@pytest.mark.parametrize("field", FileId._fields)
def test_each_field_of_the_identity_shows(field: str) -> None:
    """A file that differs in any field differs in key or stamp."""
    assert identify(FILE._replace(**{field: getattr(FILE, field) + 1})) != identify(FILE)


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_stamp_tells_when_its_file_was_changed(ctime_ns: int) -> None:
    """Also before the epoch; the time that its owner may set is another."""
    assert changed_ns(identify(FILE._replace(ctime_ns=ctime_ns, mtime_ns=0))[1]) == ctime_ns


def test_a_key_tells_where_a_file_is() -> None:
    """Device and inode number."""
    key, _ = identify(FILE)
    assert (device_of(key), inode_of(key)) == (FILE.dev, FILE.ino)


def test_a_value_tells_which_file_had_which_content() -> None:
    """Whatever was kept of it; a damaged one tells nothing."""
    key, stamp = identify(FILE)
    for record in (RECORD, digest_only(DIGEST)):
        value = encode(stamp, record)
        assert sha256_of(value) == DIGEST
        assert seen(key, value) == Seen(key, stamp, DIGEST, record.outcome)
    assert seen(key, value[:-1]) is None


def test_a_value_without_its_verdict_has_the_digest() -> None:
    """What is no verdict stays as it is."""
    _, stamp = identify(FILE)
    assert without_verdict(encode(stamp, RECORD)) == encode(stamp, digest_only(DIGEST))
    for value in (encode(stamp, digest_only(DIGEST)), b"damaged"):
        assert without_verdict(value) == value
