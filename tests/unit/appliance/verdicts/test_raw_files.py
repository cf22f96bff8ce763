"""Digests on their way."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.verdicts.raw_files import PIECE_DIGESTS, RawFiles

MOST = 1 << 20


def digests(count: int, seed: int = 0) -> bytes:
    """Digests, one after another."""
    return b"".join((seed << 32 | number).to_bytes(32, "big") for number in range(count))


def test_what_was_put_is_read_in_order_and_gone(tmp_path: Path) -> None:
    """Also more than is read at once; no file is left."""
    raw = RawFiles(tmp_path, MOST)
    many = digests(PIECE_DIGESTS + 10, 1)
    assert raw.put([(1, 100, digests(3)), (2, 101, bytearray(many))]) == 0
    raw.put([(3, 102, digests(1))])
    read = []
    while (section := raw.read()) is not None:
        read.append(section)
    assert read == [
        (1, 100, digests(3)),
        (2, 101, many[: PIECE_DIGESTS * 32]),
        (2, 101, many[PIECE_DIGESTS * 32 :]),
        (3, 102, digests(1)),
    ]
    assert (list(tmp_path.iterdir()), raw.waiting) == ([], 0)


def test_a_restart_goes_on_with_what_waits(tmp_path: Path) -> None:
    """A file that was half read is read again."""
    raw = RawFiles(tmp_path, MOST)
    raw.put([(1, 100, digests(3)), (2, 100, digests(3))])
    raw.read()
    raw.close()
    again = RawFiles(tmp_path, MOST)
    assert again.waiting > 0
    again.put([(3, 100, digests(1))])
    numbers = []
    while (section := again.read()) is not None:
        numbers.append(section[0])
    assert numbers == [1, 2, 3]


def test_what_waits_has_a_bound(tmp_path: Path) -> None:
    """What there is no room for is counted, and there is room again when some was read."""
    raw = RawFiles(tmp_path, 3200)
    assert raw.put([(1, 100, digests(60))]) == 11
    assert raw.put([(1, 100, digests(60))]) == 60
    while raw.read() is not None:
        pass
    assert raw.put([(1, 100, digests(40))]) == 0


@pytest.mark.parametrize("restarts", [False, True])
def test_guests_that_ask_without_end_leave_room_for_others(tmp_path: Path, restarts: bool) -> None:
    """However much they bring, also after a restart; and when theirs was read they have room again."""
    raw = RawFiles(tmp_path, MOST)
    many = digests(2000)
    for _ in range(50):
        raw.put([(number, 100, many) for number in range(1, 6)])
    if restarts:
        raw.close()
        raw = RawFiles(tmp_path, MOST)
    assert raw.put([(7, 100, digests(1000, 7))]) == 0
    assert list(raw.find(digests(1, 7))) == [(7, 100)]
    assert raw.put([(1, 100, many)]) > 1900
    while raw.read() is not None:
        pass
    assert raw.put([(1, 100, many)]) == 0


def test_what_waits_can_be_found(tmp_path: Path) -> None:
    """By whole digests, and not where two of them meet."""
    raw = RawFiles(tmp_path, MOST)
    raw.put([(1, 100, digests(5)), (2, 101, digests(5, 7))])
    wanted = digests(5)[64:96]
    assert list(raw.find(wanted)) == [(1, 100)]
    assert list(raw.find(digests(5)[50:82])) == []


def test_a_file_that_was_cut_off_ends_early(tmp_path: Path) -> None:
    """As after kill -9."""
    raw = RawFiles(tmp_path, MOST)
    raw.put([(1, 100, digests(10))])
    [path] = tmp_path.iterdir()
    os.truncate(path, 8 + 2 * 32 + 5)
    again = RawFiles(tmp_path, MOST)
    assert again.read() == (1, 100, digests(2))
    assert again.read() is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_somebody_deleted_is_passed_over(tmp_path: Path) -> None:
    """Nothing is raised."""
    raw = RawFiles(tmp_path, MOST)
    raw.put([(1, 100, digests(1))])
    [path] = tmp_path.iterdir()
    path.unlink()
    assert list(raw.find(digests(1))) == []
    assert (raw.read(), raw.waiting) == (None, 0)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """The error is raised, what was written of it deleted, and nothing waits."""
    raw = RawFiles(tmp_path / "gone", MOST)
    with pytest.raises(OSError, match="No such file"):
        raw.put([(1, 100, digests(1))])
    assert raw.waiting == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_file_raises(tmp_path: Path, data: bytes) -> None:
    """Whatever it holds; and it is gone then."""
    (tmp_path / "exposure-000000000001.raw").write_bytes(data)
    raw = RawFiles(tmp_path, MOST)
    list(raw.find(b"d" * 32))
    while raw.read() is not None:
        pass
    assert list(tmp_path.iterdir()) == []
