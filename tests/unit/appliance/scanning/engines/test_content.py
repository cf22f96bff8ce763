"""Tests of appliance/scanning/engines/content.py."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.domain.content import ContentLabel
from appliance.scanning.engines.content import IN_MEMORY_BYTES, Content

SIZES = [0, 5, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1]


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """A file in memory that holds `data`."""
    fd = os.memfd_create("content")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", SIZES)
def test_a_descriptor_gives_all_of_its_bytes(size: int) -> None:
    """Small contents are read, large ones mapped; both give the same bytes and digests."""
    data = os.urandom(size)
    with memory_file(data) as fd:
        content = Content.of_descriptor(fd, ContentLabel(b"", size, b"a.exe"))
        assert (bytes(content.data[:]), content.size, content.name, content.member) == (
            data,
            size,
            b"a.exe",
            "",
        )
        assert content.sha256 == hashlib.sha256(data).digest()
        assert content.sha1 == hashlib.sha1(data, usedforsecurity=False).digest()
        assert content.md5 == hashlib.md5(data, usedforsecurity=False).digest()
        content.close()
        content.close()
        assert os.fstat(fd).st_size == size


def test_a_digest_that_is_known_is_not_computed() -> None:
    """The front process has hashed the content; its word is taken."""
    with memory_file(b"data") as fd:
        assert Content.of_descriptor(fd, ContentLabel(b"d" * 32, 4)).sha256 == b"d" * 32


def test_the_offset_of_the_descriptor_does_not_matter() -> None:
    """Content is read from its beginning wherever the descriptor was left."""
    with memory_file(b"some data") as fd:
        os.lseek(fd, 5, os.SEEK_SET)
        assert Content.of_descriptor(fd, ContentLabel(b"", 9)).data == b"some data"


def test_a_descriptor_of_its_own_is_closed_with_it() -> None:
    """A member that was unpacked into a file in memory goes away with its content."""
    fd = os.memfd_create("member")
    os.write(fd, b"member")
    content = Content.of_own_descriptor(fd, b"m", "in.zip!m")
    assert (content.data, content.size, content.member) == (b"member", 6, "in.zip!m")
    content.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_bytes_in_memory_have_no_descriptor() -> None:
    """A small member never becomes a file."""
    content = Content.of_bytes(b"data", b"n", "m")
    assert (content.fd, content.data, content.size, content.name, content.member) == (
        -1,
        b"data",
        4,
        b"n",
        "m",
    )
