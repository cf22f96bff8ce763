"""Tests of appliance/scanning/archive.py: libarchive as such. What comes of it is in test_unpacking.py."""

import ctypes
import gzip
import mmap
import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from appliance.config import UnpackLimits
from appliance.scanning.archive import Archive, Memory, Stream, library_version
from appliance.scanning.budget import Budget, TooLarge
from tests.support import archives

ONE, TWO = {"a.txt": b"first" * 100}, {"b.txt": b"second" * 100}


def read(archive: Archive) -> dict[bytes, bytes]:
    """All that an archive gives."""
    found = {}
    while archive.next():
        name = archive.entry_name()
        found[name] = b"".join(ctypes.string_at(address, size) for _, address, size in archive.blocks())
    return found


def nothing(_known: int) -> Iterator[bytes]:
    """No bytes can be salvaged."""
    return iter(())


def gzipped(data: bytes, limits: UnpackLimits | None = None) -> Archive:
    """An archive that reads a tar or a cpio out of a gzip."""
    packed = Archive(Memory(data, 0, len(data)), ("raw", "empty"), ("gzip",))
    return Archive(Stream(packed, Budget(limits or UnpackLimits(), len(data)), nothing), ("tar", "cpio"))


def test_a_part_of_the_memory_is_read_and_no_more() -> None:
    """The archive begins and ends where it is told, and says how many bytes it took."""
    cpio = archives.written(ONE, "cpio_newc")
    data = b"before" + cpio + archives.written(TWO, "cpio_newc")
    with closing(Archive(Memory(data, 6, len(data)), ("cpio",))) as archive:
        assert read(archive) == {b"a.txt": ONE["a.txt"]}
        assert archive.taken() == len(cpio)
        assert archive.damage == ""
    with closing(Archive(Memory(data, 6, 6 + len(cpio) // 2), ("cpio",))) as archive:
        read(archive)
        assert archive.damage != ""


def test_a_mapping_can_be_closed_when_the_archive_is() -> None:
    """Nothing goes on to point into what is given back."""
    data = archives.tarred(ONE)
    mapping = mmap.mmap(-1, len(data))
    mapping[:] = data
    with closing(Archive(Memory(mapping, 0, len(data)), ("tar",))) as archive:
        with pytest.raises(BufferError):
            mapping.close()
        assert read(archive) == {b"a.txt": ONE["a.txt"]}
    mapping.close()


def test_a_stream_is_read_through_and_counted() -> None:
    """What a compressor packed comes to the reader; the number of bytes taken is that of the packed ones."""
    data = gzip.compress(archives.tarred(ONE) + archives.tarred(TWO))
    with closing(gzipped(data + b"junk")) as archive:
        assert read(archive) == {b"a.txt": ONE["a.txt"], b"b.txt": TWO["b.txt"]}
        assert not archive.goes_on()
        assert archive.taken() == len(data)


def test_a_stream_says_what_the_reader_left() -> None:
    """Zeros are padding; anything else behind the end that the reader sees is more."""
    cpio = archives.written(ONE, "cpio_newc")
    for behind, more in ((b"", False), (bytes(300_000), False), (bytes(300_000) + b"x", True)):
        with closing(gzipped(gzip.compress(cpio + behind))) as archive:
            read(archive)
            assert archive.goes_on() is more


def test_a_limit_comes_through_libarchive() -> None:
    """What ends a stream while libarchive asks for its next block is raised to the caller."""
    data = gzip.compress(archives.tarred({"large": random.Random(1).randbytes(3_000_000)}))
    with closing(gzipped(data, UnpackLimits(max_total_mib=1))) as archive, pytest.raises(TooLarge):
        read(archive)


def test_the_library_tells_its_version() -> None:
    """The version is part of the generation: another libarchive may read more."""
    assert int(library_version()) >= 3_004_000
