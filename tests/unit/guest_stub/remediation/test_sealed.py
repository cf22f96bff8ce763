"""Tests of the sealed format: what was sealed comes back, and nothing else ever does."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_stub.remediation import sealed
from guest_stub.remediation.cipher import Key
from guest_stub.remediation.facts import Entry, encode
from guest_stub.remediation.sealed import MAGIC, Damaged, SealReader, SealWriter, sealed_bytes
from tests.support.properties import patient
from tests.support.quarantined import entry_of

KEY = Key(b"k" * 32)
ID = "0123456789ab"
PIECE = 64


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> Iterator[None]:
    """Pieces of 64 bytes, so that small contents have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "PIECE_BYTES", PIECE)
        yield


@contextmanager
def file_of(data: bytes = b"") -> Iterator[int]:
    """A file without a name that holds this, at its beginning."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def seal(content: bytes, entry: Entry | None = None, key: Key = KEY) -> bytes:
    """The bytes of a sealed file."""
    entry = entry or entry_of(content)
    with file_of() as fd:
        writer = SealWriter(fd, key)
        writer.header(encode(entry))
        for start in range(0, len(content), PIECE):
            writer.content(content[start : start + PIECE])
        writer.end(len(content), hashlib.sha256(content).digest())
        length = os.lseek(fd, 0, os.SEEK_CUR)
        assert length == sealed_bytes(len(encode(entry)), len(content))
        return os.pread(fd, length, 0)


def unseal(data: bytes, id: str = ID, key: Key | None = KEY) -> tuple[Entry, bytes]:
    """The entry and the whole content. Raises Damaged."""
    with file_of(data) as fd:
        reader = SealReader(fd, key)
        entry = reader.entry(id)
        return entry, b"".join(reader.content(entry))


@patient
@given(st.binary(max_size=5 * PIECE) | st.integers(0, 4).map(lambda count: bytes(count * PIECE)))
def test_what_was_sealed_comes_back(content: bytes) -> None:
    """Of any length, and as long as was reckoned before."""
    assert unseal(seal(content)) == (entry_of(content), content)


@patient
@given(st.binary(max_size=400), st.booleans())
def test_other_bytes_yield_nothing(data: bytes, right_beginning: bool) -> None:
    """They are refused by one kind of error, also behind a right beginning."""
    with pytest.raises(Damaged):
        unseal((seal(b"")[:48] if right_beginning else b"") + data)


@patient
@given(st.data())
def test_a_changed_file_is_found_out(data: st.DataObject) -> None:
    """One bit, anywhere."""
    whole = bytearray(seal(b"content " * 20))
    place = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[place // 8] ^= 1 << place % 8
    with pytest.raises(Damaged):
        unseal(bytes(whole))


def test_a_cut_or_lengthened_file_is_found_out() -> None:
    """At every length but its own, and where whole pieces are missing."""
    whole = seal(b"c" * 3 * PIECE)
    for length in range(len(whole)):
        with pytest.raises(Damaged):
            unseal(whole[:length])
    with pytest.raises(Damaged, match="end does not match"):
        unseal(whole + b"x")
    frame = 5 + PIECE + 16
    header = len(whole) - 3 * frame - (5 + 40 + 16)
    for order in ([0, 1], [0, 2], [1, 0, 2], [0, 1, 2, 2], []):
        frames = [whole[header + frame * number : header + frame * (number + 1)] for number in order]
        with pytest.raises(Damaged):
            unseal(whole[:header] + b"".join(frames) + whole[-61:])


def test_an_entry_under_the_name_of_another_is_found_out() -> None:
    """Two sealed files that were swapped are whole, and yet not what their names say."""
    with pytest.raises(Damaged, match="it is the entry 0123456789ab, under another name"):
        unseal(seal(b"x"), id="ba9876543210")


def test_a_content_that_is_not_its_entrys_is_found_out() -> None:
    """As nobody but the stub itself could seal it."""
    with pytest.raises(Damaged, match="not that of its entry"):
        unseal(seal(b"other", entry_of(b"right")))


@pytest.mark.parametrize(
    ("data", "key", "why"),
    [
        (b"", KEY, "ends too early"),
        (b"\x7fELF" * 30, KEY, "no sealed file"),
        (MAGIC[:-1] + b"\x02" + bytes(100), KEY, "format 2 is not known here: a newer guest-stub"),
        (seal(b"x"), Key(b"other" + b"k" * 27), "another key"),
        (seal(b"x"), None, "another key"),
    ],
)
def test_what_cannot_be_opened_is_said_why(data: bytes, key: Key | None, why: str) -> None:
    """In a sentence."""
    with pytest.raises(Damaged, match=why):
        unseal(data, key=key)


def test_a_length_is_bounded_before_anything_is_read() -> None:
    """A frame that claims four gigabytes asks for no memory."""
    with pytest.raises(Damaged, match="out of range"):
        unseal(seal(b"")[:48] + b"\x02\xff\xff\xff\xff")
