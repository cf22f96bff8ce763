"""Tests of what an entry keeps."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.decision import FileId
from guest_stub.remediation.facts import (
    MAX_HEADER_BYTES,
    MAX_XATTR_BYTES,
    Attributes,
    BadFacts,
    Entry,
    Judged,
    decode,
    encode,
)
from tests.support.properties import patient
from tests.support.quarantined import entry_of

numbers = st.integers(-(2**63), 2**64 - 1)
names = st.binary(max_size=300)
attributes = st.builds(
    Attributes,
    uid=numbers,
    gid=numbers,
    mode=st.integers(0, 0o7777),
    atime_ns=numbers,
    mtime_ns=numbers,
    flags=numbers,
    xattrs=st.lists(st.tuples(names, names), max_size=5).map(tuple),
    left_out=st.lists(names, max_size=3).map(tuple),
)
files = st.builds(FileId, numbers, numbers, st.integers(0, 2**63 - 1), numbers, numbers)
entries = st.builds(
    Entry,
    id=st.text("0123456789abcdef", min_size=12, max_size=12),
    sealed_at_ns=numbers,
    judged=st.builds(
        Judged, files, st.binary(min_size=32, max_size=32), st.text(max_size=99), st.binary(max_size=4096)
    ),
    attributes=attributes,
    names=st.integers(1, 2**32),
    handle=st.binary(max_size=136),
    placed=st.booleans(),
)


@patient
@given(entries)
def test_an_entry_comes_back_as_it_was_kept(entry: Entry) -> None:
    """Every field, whatever bytes a name or an attribute is made of."""
    assert decode(encode(entry)) == entry


@patient
@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_other_bytes_are_no_entry(data: bytes) -> None:
    """They are refused, by one kind of error."""
    with pytest.raises(BadFacts):
        decode(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sha256", "ab" * 31),
        ("sha256", None),
        ("path", "not base64!"),
        ("path", "QUFB" * 4096),
        ("file", [1, 2, 3, 4]),
        ("file", [1, 2, -3, 4, 5]),
        ("mode", "0644"),
        ("mode", True),
        ("xattrs", [["QQ=="]]),
        ("threat", 7),
    ],
)
def test_a_field_that_is_no_such_field(name: str, value: Any) -> None:
    """A wrong type, length or range is refused."""
    fields = json.loads(encode(entry_of(b"x")))
    with pytest.raises(BadFacts):
        decode(json.dumps(fields | {name: value}).encode())


def test_an_entry_has_a_bound() -> None:
    """As much as may be kept fits, a threat's name is cut, and more than the bound is not even read."""
    plain = entry_of(b"x", path=b"/" + b"\xff" * 4095)
    many = tuple((b"user.%06d" % number, bytes(100)) for number in range(MAX_XATTR_BYTES // 111))
    judged = replace(plain.judged, threat="\U0001f4a9" * 10_000)
    entry = replace(plain, judged=judged, attributes=replace(plain.attributes, xattrs=many))
    assert len(encode(entry)) <= MAX_HEADER_BYTES
    assert len(decode(encode(entry)).judged.threat) == 512
    with pytest.raises(BadFacts, match="over the bound"):
        decode(b" " * (MAX_HEADER_BYTES + 1))
