"""Tests of reading without a trace."""

import mmap
import os
import stat
from pathlib import Path

import pytest

from guest_stub.reading import (
    PIECE_BYTES,
    begin,
    go_on_reading,
    open_quietly,
    read_quietly,
    read_resident,
    went_away,
)
from tests.support.page_cache import evict, resident_pages


def read_all(path: Path, at_once: int = PIECE_BYTES) -> bytes:
    """The file's content, so many bytes by so many."""
    fd = open_quietly(str(path))
    buffer = memoryview(bytearray(at_once))
    data = b""
    try:
        begin(fd, path.stat().st_size)
        while count := read_quietly(fd, buffer, len(data)):
            data += buffer[:count]
    finally:
        os.close(fd)
    return data


def stays_cold(file: Path, data: bytes) -> bool:
    """Whether the file, evicted, is read and not resident then; the kernel now and then keeps a page it was
    told to drop, since another processor has it in hand, so that one such time does not count.
    """

    def once() -> bool:
        evict(file)
        assert read_all(file) == data
        return not any(resident_pages(file))

    return once() or once() or once()


def test_a_cold_file_stays_cold(tmp_path: Path) -> None:
    """What was not in the page cache is read, and not in the page cache afterwards."""
    file = tmp_path / "file"
    data = os.urandom(4 * PIECE_BYTES + 77)
    file.write_bytes(data)
    assert stays_cold(file, data)


def test_a_small_cold_file_stays_cold(tmp_path: Path) -> None:
    """A file of less than one piece is put back too."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 5000)
    assert stays_cold(file, b"x" * 5000)


def test_a_warm_file_stays_warm(tmp_path: Path) -> None:
    """What others have in the page cache stays there."""
    file = tmp_path / "file"
    data = os.urandom(4 * PIECE_BYTES)
    file.write_bytes(data)
    assert file.read_bytes() == data
    assert read_all(file) == data
    assert all(resident_pages(file))


@pytest.mark.parametrize("at_once", [PIECE_BYTES, 3 * PIECE_BYTES, 5 * PIECE_BYTES])
def test_a_file_that_is_half_warm_stays_so(tmp_path: Path, at_once: int) -> None:
    """The part that was in the page cache stays, the other part goes again, however much is read at once."""
    file = tmp_path / "file"
    data = os.urandom(4 * PIECE_BYTES)
    file.write_bytes(data)
    evict(file)
    with file.open("rb", buffering=0) as warm:
        os.posix_fadvise(warm.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
        assert len(warm.read(2 * PIECE_BYTES)) == 2 * PIECE_BYTES
    before = resident_pages(file)
    assert read_all(file, at_once) == data
    assert resident_pages(file) == before


@pytest.mark.parametrize("warm_bytes", [0, PIECE_BYTES + 8 * mmap.PAGESIZE, 3 * PIECE_BYTES])
def test_what_is_resident_is_read_without_waiting(tmp_path: Path, warm_bytes: int) -> None:
    """Up to the first page that is not; what follows is read by going on, and dropped again."""
    file = tmp_path / "file"
    data = os.urandom(3 * PIECE_BYTES)
    file.write_bytes(data)
    evict(file)
    fd = open_quietly(str(file))
    buffer = memoryview(bytearray(len(data)))
    try:
        begin(fd, len(data))
        os.pread(fd, warm_bytes, 0)
        before = resident_pages(file)
        resident = read_resident(fd, buffer, 0)
        assert resident == before.count(True) * mmap.PAGESIZE
        if resident < len(data):
            assert go_on_reading(fd, buffer, 0, resident) == len(data)
        assert buffer == data
        assert resident_pages(file) == before
    finally:
        os.close(fd)


def test_going_on_to_the_end_of_a_file_is_a_short_count(tmp_path: Path) -> None:
    """A file that became shorter gives what it has, in a first piece and in a later one."""
    file = tmp_path / "file"
    buffer = memoryview(bytearray(3 * PIECE_BYTES))
    for size in (100, PIECE_BYTES + 100):
        file.write_bytes(b"x" * size)
        evict(file)
        fd = open_quietly(str(file))
        try:
            resident = read_resident(fd, buffer, 0)
            assert resident is not None
            assert go_on_reading(fd, buffer, 0, resident) == size
        finally:
            os.close(fd)


def test_where_nobody_can_tell_nothing_is_resident() -> None:
    """procfs knows no RWF_NOWAIT."""
    fd = open_quietly("/proc/self/status")
    try:
        assert read_resident(fd, memoryview(bytearray(64)), 0) is None
    finally:
        os.close(fd)


def test_an_error_on_the_way_to_memory_is_raised(tmp_path: Path) -> None:
    """What says nothing of residency is the caller's to know."""
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            read_resident(fd, memoryview(bytearray(64)), 0)
    finally:
        os.close(fd)


def test_a_file_system_that_cannot_tell_is_read_all_the_same() -> None:
    """procfs knows no RWF_NOWAIT; its files are read nevertheless."""
    fd = open_quietly("/proc/self/status")
    buffer = memoryview(bytearray(64))
    try:
        assert read_quietly(fd, buffer, 0) == 64
    finally:
        os.close(fd)
    assert bytes(buffer).startswith(b"Name:")


def test_an_error_of_the_disk_is_raised(tmp_path: Path) -> None:
    """What is no answer to RWF_NOWAIT is the caller's to know."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            read_quietly(fd, memoryview(bytearray(16)), 0)
    finally:
        os.close(fd)


def test_the_end_of_a_file_is_a_short_count(tmp_path: Path) -> None:
    """A buffer that is longer than what is left comes back part-filled."""
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    fd = open_quietly(str(file))
    buffer = memoryview(bytearray(16))
    try:
        assert read_quietly(fd, buffer, 0) == 5
        assert read_quietly(fd, buffer, 3) == 2
        assert read_quietly(fd, buffer, 9) == 0
    finally:
        os.close(fd)


def test_reading_leaves_the_access_time(tmp_path: Path) -> None:
    """The owner's file keeps the access time that it had."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    os.utime(file, ns=(1_000_000_000, file.stat().st_mtime_ns))
    assert read_all(file) == b"x"
    assert file.stat().st_atime_ns == 1_000_000_000


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    """Opening a link fails, and counts as a file that is not there any more."""
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic") as caught:
        open_quietly(str(tmp_path / "link"))
    assert went_away(caught.value)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to returns at once."""
    os.mkfifo(tmp_path / "pipe")
    fd = open_quietly(str(tmp_path / "pipe"))
    try:
        assert stat.S_ISFIFO(os.fstat(fd).st_mode)
        assert not os.get_blocking(fd)
    finally:
        os.close(fd)


def test_a_name_that_is_too_long_did_not_go_away(tmp_path: Path) -> None:
    """Only errors that speak of the file's change count as such."""
    with pytest.raises(OSError, match="too long") as caught:
        open_quietly(str(tmp_path / ("n" * 300)))
    assert not went_away(caught.value)
