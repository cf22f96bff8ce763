"""The only identity that a verdict hangs on."""

import pytest

from appliance.domain.digest import BadDigest, parse_digest


def test_sixty_four_digits_are_a_digest() -> None:
    """In either case."""
    assert parse_digest("ab" * 32) == parse_digest("AB" * 32) == b"\xab" * 32


@pytest.mark.parametrize("text", ["", "ab", "ab" * 31, "ab" * 33, "zz" * 32, " " + "ab" * 32, "ab " * 32])
def test_anything_else_is_refused_with_what_to_do(text: str) -> None:
    """Wrong lengths, other letters and blanks are no digest."""
    with pytest.raises(BadDigest, match="sha256sum"):
        parse_digest(text)
