"""Tests of appliance/scanning/bundle.py."""

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.scanning.bundle import MAGIC, Bundle, BundleError, Summary, read_sections, read_summary
from appliance.scanning.result import SignatureSource
from tests.support.properties import patient

SOURCES = (SignatureSource("yara", "/rules/a.yar", 7, ("/rules/a.yar:3: syntax error",)),)
PARTS = (("yara", "1.23.0", (1 << 64) - 1), ("eicar", "1", 0))
BUNDLE = Bundle(Summary(PARTS, SOURCES), {"a": b"first", "empty": b"", "b": bytes(range(256))})


@contextmanager
def memory_file(data: bytes = b"") -> Iterator[int]:
    """A file in memory that holds `data`."""
    fd = os.memfd_create("bundle")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def dumped() -> bytes:
    """BUNDLE as it is written."""
    with memory_file() as fd:
        BUNDLE.dump(fd)
        return os.pread(fd, 1 << 20, 0)


def with_index(index: object) -> bytes:
    """A bundle whose index is something else."""
    text = json.dumps(index).encode()
    return struct.pack("<8sQ", MAGIC, len(text)) + text


def test_what_is_written_is_read() -> None:
    """The summary and every section come back as they were, the sections where they can be mapped."""
    with memory_file() as fd:
        BUNDLE.dump(fd)
        assert read_summary(fd) == BUNDLE.summary
        sections = read_sections(fd)
    assert {name: bytes(data) for name, data in sections.items()} == BUNDLE.sections


def test_sections_can_be_read_as_numbers() -> None:
    """Each section begins at a multiple of eight, so that tables of numbers lie right."""
    with memory_file() as fd:
        Bundle(Summary((), ()), {"x": b"abc", "numbers": struct.pack("=2Q", 1, 2)}).dump(fd)
        assert read_sections(fd)["numbers"].cast("Q").tolist() == [1, 2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"KLABNDL1",
        b"KLABNDL0" + bytes(8),
        struct.pack("<8sQ", MAGIC, 1 << 60),
        struct.pack("<8sQ", MAGIC, 10) + b"not JSON..",
        struct.pack("<8sQ", MAGIC, 100_000) + b"[" * 100_000,
        with_index([]),
        with_index({}),
        with_index({"parts": [["yara", "1"]], "sources": [], "sections": []}),
        with_index({"parts": [["yara", "1", -1]], "sources": [], "sections": []}),
        with_index({"parts": [["yara", "1", 1 << 64]], "sources": [], "sections": []}),
        with_index({"parts": [["yara", "1", True]], "sources": [], "sections": []}),
        with_index({"parts": [["yara", 1, 1]], "sources": [], "sections": []}),
        with_index({"parts": [["y" * 5000, "1", 1]], "sources": [], "sections": []}),
        with_index({"parts": [["\x1b[2J", "1", 1]], "sources": [], "sections": []}),
        with_index({"parts": [], "sources": [["yara", "/a", 1, "no list"]], "sections": []}),
        with_index({"parts": [], "sources": {"yara": 1}, "sections": []}),
    ],
)
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    """A bundle comes from a sandboxed process and is believed in nothing: bad ones are refused."""
    with memory_file(data) as fd, pytest.raises(BundleError):
        read_summary(fd)


def test_a_section_that_is_not_there_is_refused() -> None:
    """A section may not reach past the end of the file."""
    with memory_file(with_index({"parts": [], "sources": [], "sections": [["a", 1 << 40]]})) as fd:
        assert read_summary(fd) == Summary((), ())
        with pytest.raises(BundleError, match="ends before its section 'a'"):
            read_sections(fd)


@patient
@given(st.data())
def test_a_changed_bundle_is_refused_or_read(data: st.DataObject) -> None:
    """Whatever is changed in a bundle, reading it ends in values or in BundleError."""
    raw = bytearray(dumped())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with memory_file(bytes(raw)) as fd:
        try:
            assert isinstance(read_summary(fd), Summary)
            assert all(isinstance(section, memoryview) for section in read_sections(fd).values())
        except BundleError:
            pass
