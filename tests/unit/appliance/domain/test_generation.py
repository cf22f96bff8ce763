"""The fingerprint of engines and signatures."""

from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from appliance.domain.generation import combine, told

parts = st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9), st.integers(0, 2**64 - 1)), max_size=5)


@given(parts)
def test_the_order_does_not_matter(some: list[tuple[str, str, int]]) -> None:
    """The same content gives the same number, so a set that is rolled back revives its verdicts."""
    other = list(reversed(some))
    assert combine(some, xxh3_64_intdigest) == combine(other, xxh3_64_intdigest) != 0


def test_each_part_counts() -> None:
    """Another engine, version or content is another generation."""
    numbers = {
        combine(some, xxh3_64_intdigest)
        for some in (
            [],
            [("yara", "1", 1)],
            [("yara", "2", 1)],
            [("yara", "1", 2)],
            [("clamd", "1", 1)],
            [("yara", "1", 1), ("clamd", "1", 1)],
        )
    }
    assert len(numbers) == 6


def test_guests_are_told_another_generation_where_everything_has_to_be_heard_anew() -> None:
    """Each time another one, the true one where that never was, and never 0."""
    assert told(7, 0) == 7
    assert len({told(7, epoch) for epoch in range(1000)}) == 1000
    assert told(told(0, 5), 5) == 1
    assert 0 < told((1 << 64) - 1, 123) < 1 << 64
