"""Tests of appliance/scanning/labels.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.verdict import MAX_MEMBER_BYTES, MAX_THREAT_BYTES
from appliance.scanning.labels import member_path, printable, shortened, threat_name
from tests.support.properties import patient


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain/name.txt", "plain/name.txt"),
        ("schön.exe".encode(), "schön.exe"),
        (b"not-utf8-\xff\xfe", "not-utf8-\\xff\\xfe"),
        (b"bell\x07 and\x1b[2J", "bell\\x07 and\\x1b[2J"),
        ("cod\u202egpj.exe".encode(), "cod\\u202egpj.exe"),
        (b"line\nfeed\0", "line\\nfeed\\x00"),
    ],
)
def test_what_would_disturb_a_terminal_is_escaped(raw: bytes, text: str) -> None:
    """Bytes that are not UTF-8, control characters and marks that turn text around are spelt out."""
    assert printable(raw) == text


@patient
@given(st.binary(max_size=300))
def test_any_bytes_become_printable_text(raw: bytes) -> None:
    """Whatever the bytes, the text can be printed on one line and stored as UTF-8."""
    text = printable(raw)
    assert text.isprintable()
    assert text.encode().decode() == text


@patient
@given(st.text(max_size=200), st.integers(min_value=10, max_value=100))
def test_shortened_text_fits_and_keeps_both_ends(text: str, limit: int) -> None:
    """A text that is too long loses its middle, never half a character, and then fits."""
    short = shortened(text, limit)
    assert len(short.encode()) <= limit
    if len(text.encode()) <= limit:
        assert short == text


def test_a_threat_always_has_a_name_that_fits() -> None:
    """A name of an engine is bounded and printable, and never empty."""
    assert threat_name(b"Win.Test.EICAR_HDB-1") == "Win.Test.EICAR_HDB-1"
    assert threat_name(b"") == "unnamed"
    assert len(threat_name(b"\x1b" * 10_000).encode()) <= MAX_THREAT_BYTES


def test_members_of_members_are_joined_by_an_exclamation_mark() -> None:
    """The path of a member names every container on the way, and stays within its bound."""
    assert member_path("", "b/c.exe") == "b/c.exe"
    assert member_path("inner.zip", "b/c.exe") == "inner.zip!b/c.exe"
    assert len(member_path("a" * 1000, "b" * 1000).encode()) <= MAX_MEMBER_BYTES
