"""Tests of the values that callers of the link hand in."""

import pytest

from guest_stub.svm_link.values import cut


@pytest.mark.parametrize(
    ("text", "most", "left"),
    [
        ("word", 4, "word"),
        ("words", 4, "word"),
        ("éé", 3, "é"),  # between characters
        ("a\udcff", 9, "a?"),
        ("", 0, ""),
    ],
)
def test_a_text_is_cut_to_what_the_wire_takes(text: str, most: int, left: str) -> None:
    """In bytes of UTF-8, and never amid a character."""
    assert cut(text, most) == left
