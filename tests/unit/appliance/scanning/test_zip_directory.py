"""Tests of appliance/scanning/zip_directory.py."""

import io
import zipfile
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from appliance.scanning.zip_directory import Entry, directories, entries, holds_more
from tests.support import archives
from tests.support.properties import patient

MEMBERS = {"a.txt": b"first" * 100, "b.txt": b"second" * 100}


def present(found: Iterator[Entry | None]) -> list[Entry]:
    """Those that are there."""
    return [entry for entry in found if entry is not None]


def test_a_directory_names_each_member_and_its_place() -> None:
    """Also where bytes were put before the zip afterwards, and behind it as a comment."""
    for front in (b"", b"X" * 100):
        data = front + archives.zipped(MEMBERS)
        (directory,) = directories(data)
        named = present(entries(data, directory))
        assert [entry.name for entry in named] == [b"a.txt", b"b.txt"]
        assert all(entry.agrees and not entry.locked and entry.method == 8 for entry in named)
        assert named[0].at == len(front)
        assert directory.end == len(data)


def test_a_header_that_says_otherwise_does_not_agree() -> None:
    """How a member is packed, how large it is and whether it is locked stand in two places."""
    for at, value in ((8, 0), (18, 7), (6, 1)):
        data = bytearray(archives.zipped(MEMBERS))
        data[at] = value
        (directory,) = directories(bytes(data))
        assert [entry.agrees for entry in present(entries(bytes(data), directory))] == [False, True]


def test_a_member_that_is_not_named_is_noticed() -> None:
    """Before, between and behind those that are."""
    hidden = archives.zipped({"c": b"x"})
    data = archives.zipped(MEMBERS, prefix=hidden[: hidden.rindex(b"PK\x01\x02")])
    (directory,) = directories(data)
    named = present(entries(data, directory))
    assert holds_more(data, directory, named)
    whole = archives.zipped(MEMBERS)
    (directory,) = directories(whole)
    named = present(entries(whole, directory))
    assert not holds_more(whole, directory, named)
    assert holds_more(whole, directory, named[:1])
    assert holds_more(whole, directory, named[1:])


def test_a_member_that_is_not_there_is_told() -> None:
    """A directory can name what it likes."""
    data = archives.zipped(MEMBERS).replace(b"PK\x03\x04", b"PK\x03\x7f", 1)
    (directory,) = directories(data)
    first, second = entries(data, directory)
    assert first is None
    assert second is not None


def test_sizes_of_64_bits_are_read() -> None:
    """They stand in a field of their own."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"x" * 100)
    data = out.getvalue()
    (directory,) = directories(data)
    (entry,) = present(entries(data, directory))
    assert data[entry.data : entry.data + entry.packed] == b"x" * 100


@patient
@given(st.binary(max_size=300), st.integers(0, 400))
def test_hostile_bytes_raise_nothing(junk: bytes, at: int) -> None:
    """Whatever stands in a directory, what is there is named."""
    data = archives.zipped({"a": b"x"})
    data = data[:at] + junk + data[at + len(junk) :] + data[-22:]
    for directory in directories(data):
        named = present(entries(data, directory))
        assert holds_more(data, directory, named) in (True, False)
