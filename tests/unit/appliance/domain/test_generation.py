"""The fingerprint of engines and signatures."""

from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from appliance.domain.generation import combine

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
