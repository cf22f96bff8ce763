"""Tests of appliance/scanning/salvage.py."""

import gzip
import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.scanning.salvage import as_it_is, end_of_zstd, inflated, salvaged
from tests.support import archives
from tests.support.properties import patient

FILTERS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "lzma": "lzma"}
TEXT = b"".join(b"%d " % random.Random(number).randrange(10**9) for number in range(40_000))


def salvage(suffix: str, data: bytes, start: int = 0, known: int = 0) -> bytes:
    """All that can be had."""
    return b"".join(salvaged(FILTERS[suffix], data, start, known))


@pytest.mark.parametrize("suffix", FILTERS)
def test_a_whole_file_comes_whole(suffix: str) -> None:
    """From where it starts, without what is known already, and without what is behind it."""
    data = b"before" + archives.compressed(TEXT, suffix)
    assert salvage(suffix, data + b"behind", 6) == TEXT
    for known in (1, 70_000, len(TEXT) - 1, len(TEXT), len(TEXT) + 1):
        assert salvage(suffix, data, 6, known) == TEXT[known:]


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_streams_in_a_row_come_as_one(suffix: str) -> None:
    """Zeros between them are skipped, as xz and Python do."""
    parts = [archives.compressed(part, suffix) for part in (b"one", b"two", b"three")]
    assert salvage(suffix, parts[0] + parts[1] + bytes(512) + parts[2]) == b"onetwothree"


@pytest.mark.parametrize("suffix", FILTERS)
def test_what_breaks_off_or_is_damaged_comes_to_there(suffix: str) -> None:
    """A cut costs no byte that could be had, an error those of a small piece before it."""
    data = archives.compressed(TEXT, suffix)
    cut = salvage(suffix, data[:-1])
    assert TEXT.startswith(cut)
    assert len(cut) > len(TEXT) * 0.99
    middle = len(data) // 2
    damaged = salvage(suffix, data[:middle] + bytes(range(256)) + data[middle + 256 :])
    assert len(damaged) > len(TEXT) // 3 or suffix == "bz2"  # which has all of it in one block


def test_a_small_input_with_a_large_output_comes_in_pieces() -> None:
    """A bomb does not come as one piece, so that who counts can stop it."""
    sizes = [len(piece) for piece in salvaged("bzip2", archives.compressed(bytes(30_000_000), "bz2"), 0, 0)]
    assert sum(sizes) == 30_000_000
    assert max(sizes) <= 65536


def test_of_other_compressors_nothing_comes() -> None:
    """Python does not know them."""
    assert list(salvaged("lz4", archives.compressed(TEXT, "lz4"), 0, 0)) == []


@patient
@given(st.binary(max_size=300), st.sampled_from(sorted(FILTERS)))
def test_hostile_bytes_raise_nothing(data: bytes, suffix: str) -> None:
    """Whatever stands there, what can be had is had."""
    head = archives.compressed(b"", suffix)[:6]
    assert isinstance(salvage(suffix, head + data), bytes)


def test_a_member_of_a_zip_comes_as_far_as_it_is_whole() -> None:
    """Deflated or stored, from its place to its end, and in pieces."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = compressor.compress(TEXT) + compressor.flush()
    data = b"before" + packed + b"behind"
    assert b"".join(inflated(data, 6, 6 + len(packed))) == TEXT
    cut = b"".join(inflated(data, 6, 6 + len(packed) // 2))
    assert TEXT.startswith(cut)
    assert len(cut) > len(TEXT) // 3
    assert b"".join(inflated(b"\xff" * 100, 0, 100)) == b""
    assert b"".join(as_it_is(data, 6, 6 + len(packed))) == packed


def zstd(data: bytes) -> bytes:
    """One frame."""
    return archives.compressed(data, "zst")


SKIPPABLE = struct.pack("<II", 0x184D2A53, 5) + b"12345"


@pytest.mark.parametrize("size", [0, 1, 300, 70_000, 500_000])
def test_the_end_of_zstd_frames_is_told(size: int) -> None:
    """Behind one frame or several, of any size, frames with something else in them included."""
    frame = zstd(random.Random(size).randbytes(size))
    for whole in (frame, zstd(bytes(size)), frame + frame, frame + SKIPPABLE, frame + SKIPPABLE + frame):
        for junk in (b"", b"\1", b"junk" * 100, gzip.compress(b"x"), frame[: len(frame) // 2]):
            assert end_of_zstd(b"before" + whole + junk, 6) == 6 + len(whole)


def test_a_frame_that_is_not_whole_ends_with_the_file() -> None:
    """Where no end is known all is to be read."""
    frame = zstd(random.Random(1).randbytes(400_000))
    for data in (frame[:-1], frame[:200_000], frame[:5], frame[:4], SKIPPABLE[:-1], b"", b"no zstd"):
        assert end_of_zstd(data, 0) == len(data)


def test_the_walk_over_frames_is_bounded() -> None:
    """Millions of empty blocks are walked in part, and then the file is read as it is."""
    data = zstd(b"")[:6] + bytes(3) * 2_000_000
    assert end_of_zstd(data, 0) == len(data)


@patient
@given(st.binary(max_size=200))
def test_hostile_bytes_have_an_end(data: bytes) -> None:
    """Whatever follows the magic number, the answer lies within the file."""
    content = b"\x28\xb5\x2f\xfd" + data
    assert 0 < end_of_zstd(content, 0) <= len(content)
