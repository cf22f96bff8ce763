"""Tests of hashing files."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guest_stub.decision import FileId
from guest_stub.hashing import HashLimits, HashResult, HashTask, hash_batch, hash_open
from guest_stub.outcome import Outcome
from guest_stub.reading import PIECE_BYTES
from tests.support.descriptors import open_descriptors
from tests.support.page_cache import evict, resident_pages

NO_LIMIT = HashLimits(1 << 40)


def hash_one(path: Path, limits: HashLimits = NO_LIMIT) -> HashResult:
    """The result for one file."""
    [result] = hash_batch([HashTask(os.fsencode(path))], limits)
    return result


@pytest.mark.parametrize(
    "size", [0, 1, 4096, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5]
)
def test_digest_is_that_of_the_content(tmp_path: Path, size: int) -> None:
    """Files of every length around a piece get the SHA-256 of their content and their identity."""
    file = tmp_path / "file"
    data = os.urandom(size)
    file.write_bytes(data)
    result = hash_one(file)
    assert result == HashResult(FileId.of(file.stat()), hashlib.sha256(data).digest())


def write_sparse(path: Path, size: int, parts: dict[int, bytes]) -> bytes:
    """Write a file with holes; return the digest that plain reading gives."""
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in parts.items():
            file.seek(offset)
            file.write(data)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {0: b"begins"},
        {5 << 20: b"in the middle"},
        {(8 << 20) - 3: b"end"},
        {0: b"a", 1 << 20: b"b" * 70_000, 8_000_000: b"c"},
    ],
)
def test_a_sparse_file_counts_its_holes_as_zeros(tmp_path: Path, parts: dict[int, bytes]) -> None:
    """Holes at the begin, between and at the end give the digest of plain reading."""
    file = tmp_path / "sparse"
    expected = write_sparse(file, 8 << 20, parts)
    assert hash_one(file).sha256 == expected


def test_holes_are_not_read(tmp_path: Path) -> None:
    """Hashing a hole puts no page of it into the page cache."""
    file = tmp_path / "sparse"
    write_sparse(file, 8 << 20, {4 << 20: b"data"})
    evict(file)
    assert hash_one(file).problem is None
    assert not any(resident_pages(file))


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    """A larger file ends as TOO_LARGE with a sentence, and with its identity."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 11)
    read: list[int] = []
    result = hash_one(file, HashLimits(10, throttle=read.append))
    assert (result.problem, result.sha256, read) == (Outcome.TOO_LARGE, b"", [])
    assert result.file == FileId.of(file.stat())
    assert "11 bytes" in result.reason


def test_a_file_that_is_gone_has_changed(tmp_path: Path) -> None:
    """A file that went away since the walk saw it counts as changed, so that it is looked at again."""
    result = hash_one(tmp_path / "gone")
    assert (result.file, result.problem) == (None, Outcome.CHANGED)


def test_what_is_no_regular_file_has_changed(tmp_path: Path) -> None:
    """A directory, a pipe and a link in a file's place count as changed, and block nothing."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    problems = [hash_one(path).problem for path in (tmp_path, tmp_path / "pipe", tmp_path / "link")]
    assert problems == [Outcome.CHANGED] * 3


def test_a_file_that_cannot_be_opened_is_unreadable(tmp_path: Path) -> None:
    """An error that is not the file's going away ends as UNREADABLE with the system's words."""
    result = hash_one(tmp_path / ("n" * 300))
    assert (result.problem, result.reason) == (Outcome.UNREADABLE, "File name too long")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_right_to_read_is_unreadable(tmp_path: Path) -> None:
    """A file that this user may not read ends as UNREADABLE."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    file.chmod(0)
    assert hash_one(file).problem is Outcome.UNREADABLE


@pytest.mark.parametrize("size", [100, 3 * PIECE_BYTES])
def test_a_write_while_hashing_is_noticed(tmp_path: Path, size: int) -> None:
    """A file that grows while it is read is CHANGED; the digest is of what was read."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)

    def write(_: int) -> None:
        with file.open("ab") as other:
            other.write(b"more")

    result = hash_one(file, HashLimits(1 << 30, throttle=write))
    assert (result.problem, result.sha256) == (Outcome.CHANGED, hashlib.sha256(b"x" * size).digest())


@pytest.mark.parametrize("size", [100, 3 * PIECE_BYTES])
def test_a_cut_while_hashing_is_noticed(tmp_path: Path, size: int) -> None:
    """A file that becomes shorter while it is read gets no digest."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    result = hash_one(file, HashLimits(1 << 30, throttle=lambda _: os.truncate(file, size // 2)))
    assert (result.problem, result.sha256) == (Outcome.CHANGED, b"")


def test_one_bad_file_does_not_spoil_the_batch(tmp_path: Path) -> None:
    """Results stand in the tasks' order, whatever became of the one before."""
    good = tmp_path / "good"
    good.write_bytes(b"good")
    paths = [good, tmp_path / "gone", tmp_path, good]
    results = hash_batch([HashTask(os.fsencode(path)) for path in paths], NO_LIMIT)
    assert [result.problem for result in results] == [None, Outcome.CHANGED, Outcome.CHANGED, None]
    assert results[0] == results[3]


def test_throttle_is_told_every_byte(tmp_path: Path) -> None:
    """The rate limit sees as many bytes as are hashed, in pieces, holes included."""
    told: list[int] = []
    sizes = [10, 2 * PIECE_BYTES + 1]
    tasks = []
    for number, size in enumerate(sizes):
        (tmp_path / str(number)).write_bytes(b"y" * size)
        tasks.append(HashTask(os.fsencode(tmp_path / str(number))))
    write_sparse(tmp_path / "sparse", 4 * PIECE_BYTES, {})
    tasks.append(HashTask(os.fsencode(tmp_path / "sparse")))
    hash_batch(tasks, HashLimits(1 << 30, throttle=told.append))
    assert sum(told) == sum(sizes) + 4 * PIECE_BYTES
    assert max(told) <= PIECE_BYTES


def test_stop_ends_the_batch_with_what_is_done(tmp_path: Path) -> None:
    """Asked to stop in the middle of the second file, the first file's result is returned."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"z" * 3 * PIECE_BYTES)
    asked = iter([False] * 6 + [True] * 100)  # before each file and each of its three pieces
    limits = HashLimits(1 << 30, stop=lambda: next(asked))
    results = hash_batch([HashTask(os.fsencode(tmp_path / name)) for name in ("a", "b", "c")], limits)
    assert [result.sha256 for result in results] == [hashlib.sha256(b"z" * 3 * PIECE_BYTES).digest()]


def test_paths_are_seen_from_the_given_directory(tmp_path: Path) -> None:
    """A task may name its directory by descriptor, and a name that is no UTF-8."""
    (tmp_path / os.fsdecode(b"na\xffme")).write_bytes(b"here")
    directory = os.open(tmp_path, os.O_PATH)
    try:
        [result] = hash_batch([HashTask(b"na\xffme", directory)], NO_LIMIT)
    finally:
        os.close(directory)
    assert result.sha256 == hashlib.sha256(b"here").digest()


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two threads that hash at the same time each get the right digests."""
    expected = []
    tasks = []
    for number in range(40):
        data = bytes([number]) * (PIECE_BYTES + number)
        (tmp_path / str(number)).write_bytes(data)
        expected.append(hashlib.sha256(data).digest())
        tasks.append(HashTask(os.fsencode(tmp_path / str(number))))
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: hash_batch(tasks, NO_LIMIT), range(2))
    assert [result.sha256 for result in first] == expected
    assert second == first


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Every way through a batch closes what it opened."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    before = open_descriptors()
    for limits in (NO_LIMIT, HashLimits(1), HashLimits(1000, stop=iter([False, True]).__next__)):
        hash_batch([HashTask(os.fsencode(tmp_path / name)) for name in ("file", "gone")], limits)
    assert open_descriptors() <= before


@pytest.mark.parametrize("size", [0, 5, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_an_open_file_is_hashed_from_its_beginning(tmp_path: Path, size: int) -> None:
    """Wherever the descriptor stands; it stays open, and may be hashed again."""
    file = tmp_path / "file"
    data = os.urandom(size)
    file.write_bytes(data)
    fd = os.open(file, os.O_RDONLY)
    try:
        os.lseek(fd, size // 2, os.SEEK_SET)
        for _ in range(2):
            expected = HashResult(FileId.of(file.stat()), hashlib.sha256(data).digest())
            assert hash_open(fd, NO_LIMIT) == expected
    finally:
        os.close(fd)


def test_an_open_file_with_holes_counts_them_as_zeros(tmp_path: Path) -> None:
    """As one that is hashed by its path."""
    expected = write_sparse(tmp_path / "sparse", 4 << 20, {1 << 20: b"in the middle"})
    with (tmp_path / "sparse").open("rb") as file:
        assert hash_open(file.fileno(), NO_LIMIT).sha256 == expected


def test_an_open_file_that_was_deleted_is_hashed(tmp_path: Path) -> None:
    """Somebody may run it still."""
    (tmp_path / "file").write_bytes(b"gone")
    with (tmp_path / "file").open("rb") as file:
        (tmp_path / "file").unlink()
        assert hash_open(file.fileno(), NO_LIMIT).sha256 == hashlib.sha256(b"gone").digest()


def test_an_open_file_that_cannot_be_hashed_ends_as_one_of_a_batch_does(tmp_path: Path) -> None:
    """Too large, no file, not to be read, let go of: each with a reason, and nothing is raised."""
    (tmp_path / "file").write_bytes(b"x" * 11)
    ends = []
    for path, flags in (
        (tmp_path / "file", os.O_RDONLY),
        (tmp_path, os.O_RDONLY),
        (tmp_path / "file", os.O_WRONLY),
    ):
        fd = os.open(path, flags)
        ends.append(hash_open(fd, HashLimits(10 if flags == os.O_RDONLY else 1000)))
        os.close(fd)
    ends.append(hash_open(fd, NO_LIMIT))
    assert [end.problem for end in ends] == [
        Outcome.TOO_LARGE, Outcome.CHANGED, Outcome.UNREADABLE, Outcome.UNREADABLE,
    ]  # fmt: skip
    assert all(end.reason and not end.sha256 for end in ends)


@pytest.mark.parametrize("size", [100, 3 * PIECE_BYTES])
def test_a_write_to_an_open_file_while_hashing_is_noticed(tmp_path: Path, size: int) -> None:
    """It is CHANGED; the digest is of what was read."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)

    def write(_: int) -> None:
        with file.open("ab") as other:
            other.write(b"more")

    with file.open("rb") as reading:
        result = hash_open(reading.fileno(), HashLimits(1 << 30, throttle=write))
    assert (result.problem, result.sha256) == (Outcome.CHANGED, hashlib.sha256(b"x" * size).digest())


def test_stop_ends_the_hashing_of_an_open_file(tmp_path: Path) -> None:
    """In its middle, with a reason."""
    (tmp_path / "file").write_bytes(b"z" * 3 * PIECE_BYTES)
    asked = iter([False, True, True])
    with (tmp_path / "file").open("rb") as file:
        result = hash_open(file.fileno(), HashLimits(1 << 30, stop=lambda: next(asked)))
    assert (result.problem, result.reason) == (Outcome.UNREADABLE, "the stub stops")
