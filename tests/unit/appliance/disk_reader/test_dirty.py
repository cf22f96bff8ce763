"""Parts that were written to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.disk_reader.dirty import Dirty

_PARTS = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 20)), max_size=20).map(sorted)


@given(_PARTS, st.integers(0, 330), st.integers(1, 40))
def test_a_part_is_touched_where_any_byte_of_it_was_written_to(
    parts: list[tuple[int, int]], begin: int, length: int
) -> None:
    """And nowhere else."""
    dirty, written = Dirty(), set[int]()
    for at, size in parts:
        dirty.add(at, size)
        written |= set(range(at, at + size))
    assert dirty.touches(begin, length) == bool(written & set(range(begin, begin + length)))


@given(_PARTS, st.integers(0, 330), st.integers(1, 40), st.integers(1, 4))
def test_with_too_little_room_more_counts_as_written_to_and_never_less(
    parts: list[tuple[int, int]], begin: int, length: int, room: int
) -> None:
    """Whatever is touched with room for all is touched with room for some."""
    all_of_it, some = Dirty(), Dirty(room)
    for at, size in parts:
        all_of_it.add(at, size)
        some.add(at, size)
    assert some.touches(begin, length) or not all_of_it.touches(begin, length)
    assert len(list(some)) <= room


def test_what_is_no_part_is_refused() -> None:
    """Nothing that was said is forgotten over it."""
    dirty = Dirty()
    dirty.add(100, 5)
    for begin, length in ((99, 1), (100, 0), (200, -1)):
        with pytest.raises(ValueError, match="no part"):
            dirty.add(begin, length)
    assert list(dirty) == [(100, 105)]
