"""What a record of the state is."""

from pathlib import Path

import pytest

from appliance.state.record import StateDamaged, damaged, packed, unpacked


def test_what_was_packed_is_unpacked() -> None:
    """As it was, also letters of any alphabet."""
    fields = {"tenant": "ä", "n": 5, "deep": {"x": [1, 2]}}
    assert unpacked(packed(fields), Path("x")) == fields
    assert unpacked(memoryview(packed({})), Path("x")) == {}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "a record does not fit its checksum"),
        (packed({"a": 1})[:-1] + b"\0", "a record does not fit its checksum"),
        (packed([1]), "a record is no table of fields"),  # type: ignore[arg-type]  # not what is packed
    ],
)
def test_anything_else_is_damage(value: bytes, why: str) -> None:
    """The sentence names the file, and what to do."""
    with pytest.raises(StateDamaged, match=rf"^dir/file is damaged \({why}\): restore it from a backup"):
        unpacked(value, Path("dir/file"))


def test_a_file_may_have_another_remedy() -> None:
    """As events, which are set aside."""
    assert str(damaged(Path("f"), "why", "it is set aside")) == "f is damaged (why): it is set aside"
