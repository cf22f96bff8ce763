"""Tests of the bound on files that are on their way."""

from concurrent.futures import ThreadPoolExecutor, wait

from guest_stub.found import FoundFile
from guest_stub.room import Room, places

DEADLINE = 30.0


def test_room_is_taken_and_given_back() -> None:
    """A room that everything was given back to is empty."""
    room = Room(10, 100)
    assert room.empty
    assert room.take(10, 100)
    assert not room.empty
    room.give_back(10, 100)
    assert room.empty


def test_a_thread_waits_for_room() -> None:
    """Too many files, or too many bytes, wait until some have ended."""
    for files, size in ((6, 1), (1, 60)):
        room = Room(10, 100)
        assert room.take(5, 50)
        with ThreadPoolExecutor(1) as pool:
            taking = pool.submit(room.take, files, size)
            assert wait([taking], timeout=0.05).not_done
            room.give_back(5, 50)
            assert taking.result(DEADLINE)


def test_what_comes_free_bit_by_bit_is_enough() -> None:
    """A thread that wants much gets it as soon as the last bit of it is given back, and not before."""
    room = Room(10, 100)
    assert room.take(10, 100)
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(room.take, 4, 60)
        for _ in range(5):
            room.give_back(1, 10)
        assert wait([taking], timeout=0.05).not_done
        room.give_back(1, 10)
        assert taking.result(DEADLINE)


def test_more_than_the_whole_is_let_in_alone() -> None:
    """A file larger than the bound does not wait for ever."""
    assert Room(10, 100).take(11, 1 << 40)


def test_a_closed_room_lets_nobody_in() -> None:
    """Who waits, and who comes later, is told that the scan is to end."""
    room = Room(10, 100)
    assert room.take(10, 100)
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(room.take, 1, 1)
        room.close()
        assert not taking.result(DEADLINE)
    assert not room.take(1, 1)


def test_long_paths_take_more_room() -> None:
    """What a path takes of memory is counted."""
    file = FoundFile(b"", b"", "/d", "n", 0)
    assert places(file) == 1
    assert places(file._replace(directory="/d" * 5000)) == 10
