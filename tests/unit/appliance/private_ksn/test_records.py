"""Records and labels in a feed's file."""

from appliance.private_ksn.records import (
    MAX_TEXT_LETTERS,
    decode_alias,
    decode_label,
    decode_record,
    encode_alias,
    encode_label,
    encode_record,
)
from appliance.private_ksn.reputation import Reputation, Zone

KEY = b"h" + bytes(32)


def test_a_record_comes_back_and_is_small() -> None:
    """Fourteen bytes hold zone, label and time."""
    value = encode_record(KEY, Zone.YELLOW, 7, 1_900_000_000)
    assert decode_record(KEY, value) == (Zone.YELLOW, 7, 1_900_000_000)
    assert len(value) == 14


def test_an_alias_comes_back() -> None:
    """The SHA-256 behind an MD5."""
    assert decode_alias(b"m" + bytes(16), encode_alias(b"m" + bytes(16), b"s" * 32)) == b"s" * 32


def test_a_flipped_bit_is_noticed() -> None:
    """Whichever bit it is, the record counts no more: a red one must not become green."""
    record, alias = encode_record(KEY, Zone.RED, 7, 1), encode_alias(KEY, b"s" * 32)
    for value, decode in ((record, decode_record), (alias, decode_alias)):
        for bit in range(8 * len(value)):
            damaged = bytearray(value)
            damaged[bit // 8] ^= 1 << bit % 8
            assert decode(KEY, bytes(damaged)) is None
    assert decode_record(b"h" + b"\1" * 32, record) is None


def test_a_time_that_does_not_fit_is_not_known() -> None:
    """Before 1970 and after 2106."""
    for seconds in (-1, 1 << 32):
        assert decode_record(KEY, encode_record(KEY, Zone.RED, 0, seconds)) == (Zone.RED, 0, 0)


def test_texts_are_cut_and_may_be_odd() -> None:
    """Of a long one its beginning; half a surrogate pair harms nobody."""
    texts = decode_label(encode_label(Reputation(Zone.RED, "x" * 999, "\ud800", "ü")))
    assert texts == ("x" * MAX_TEXT_LETTERS, "\ud800", "ü")
