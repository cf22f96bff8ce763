"""Tests of appliance/scanning/engines/hashlines.py."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain.outcome import Disposition
from appliance.scanning.engines.hashlines import (
    BadLine,
    Listed,
    clamav_line,
    clamav_unwanted_line,
    plain_line,
    reader_for,
)
from appliance.scanning.engines.hashtable import ANY_SIZE, MAX_NAME_BYTES
from tests.support.properties import patient

MD5, SHA1, SHA256 = b"a1" * 16, b"b2" * 20, b"c3" * 32
BAD, UNWANTED = Disposition.MALICIOUS, Disposition.SUSPICIOUS


@pytest.mark.parametrize(
    ("line", "listed"),
    [
        (MD5 + b":544:ClamAV-Test-File", Listed(b"\xa1" * 16, 544, b"ClamAV-Test-File", BAD)),
        (SHA1 + b":1:Name", Listed(b"\xb2" * 20, 1, b"Name", BAD)),
        (SHA256 + b":*:Name:73", Listed(b"\xc3" * 32, ANY_SIZE, b"Name", BAD)),
        (SHA256.upper() + b":10:Name:73:99", Listed(b"\xc3" * 32, 10, b"Name", BAD)),
        (MD5 + b":1:PUA.Linux.Miner", Listed(b"\xa1" * 16, 1, b"PUA.Linux.Miner", UNWANTED)),
        (MD5 + b":1:Tr\xc3\xb6jan \xff", Listed(b"\xa1" * 16, 1, "Tröjan \\xff".encode(), BAD)),
    ],
)
def test_lines_of_clamav(line: bytes, listed: Listed) -> None:
    """A digest, a size or an asterisk, and a name; the kind of digest is told by its length."""
    assert clamav_line(line) == listed


def test_lists_of_unwanted_software_are_suspicious() -> None:
    """In ClamAV's lists of unwanted software every name is one of those."""
    assert clamav_unwanted_line(MD5 + b":1:Toolbar").disposition is UNWANTED


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (SHA256, b"Listed-Hash"),
        (SHA256 + b" Linux.Miner", b"Linux.Miner"),
        (SHA256 + b"  sample.exe", b"sample.exe"),
        (SHA256 + b" *sample.exe", b"sample.exe"),
        (SHA256 + b",Linux.Miner", b"Linux.Miner"),
        (SHA256 + b":Linux.Miner", b"Linux.Miner"),
        (SHA256 + b"\tLinux Miner", b"Linux Miner"),
    ],
)
def test_plain_lines(line: bytes, name: bytes) -> None:
    """A SHA-256 alone, or with a name behind it in the ways that are usual, sha256sum's among them."""
    assert plain_line(line) == Listed(b"\xc3" * 32, ANY_SIZE, name, BAD)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (MD5, "not of the form digest:size:name"),
        (MD5 + b":1:", "not of the form digest:size:name"),
        (MD5 + b":-1:Name", "the size '-1' is neither a number of bytes nor *"),
        (MD5 + b":" + b"9" * 30 + b":Name", "neither a number"),
        (MD5[:-1] + b":1:Name", "is no MD5, SHA-1 or SHA-256"),
        (b"g" * 32 + b":1:Name", "is no MD5, SHA-1 or SHA-256"),
        (b"a1 " + b"a1" * 14 + b"a:1:Name", "is no MD5, SHA-1 or SHA-256"),
    ],
)
def test_bad_lines_of_clamav_say_why(line: bytes, why: str) -> None:
    """A line that is not of the form is refused with what is wrong."""
    with pytest.raises(BadLine) as caught:
        clamav_line(line)
    assert why in str(caught.value)


@pytest.mark.parametrize("line", [b"x", MD5, SHA256 + b"ff", SHA256[:-2] + b"zz", b"\xff" * 64])
def test_bad_plain_lines_are_refused(line: bytes) -> None:
    """A line that does not begin with a SHA-256 is none of a plain list."""
    with pytest.raises(BadLine):
        plain_line(line)


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("main.hdb", clamav_line),
        ("main.HSB", clamav_line),
        ("pua.hdu", clamav_unwanted_line),
        ("pua.hsu", clamav_unwanted_line),
        ("feed.sha256", plain_line),
        ("feed.txt", plain_line),
        ("README.md", None),
        ("hdb", None),
    ],
)
def test_the_suffix_says_what_a_file_holds(name: str, reader: object) -> None:
    """Each kind of list has its suffix; other files are no lists."""
    assert reader_for(name) is reader


@pytest.mark.parametrize("reader", [clamav_line, clamav_unwanted_line, plain_line])
@patient
@given(line=st.binary(max_size=300) | st.builds(lambda rest: MD5 + b":1:" + rest, st.binary(max_size=600)))
def test_any_line_is_read_or_refused(reader: object, line: bytes) -> None:
    """Whatever a line holds, it is an entry that can be stored, or a bad line."""
    assert callable(reader)
    with suppress(BadLine):
        listed = reader(line)
        assert 0 < len(listed.name) <= MAX_NAME_BYTES
        assert listed.name.decode().isprintable()
