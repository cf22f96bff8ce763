"""The only identity that a verdict hangs on."""

import pytest

from appliance.domain.digest import BadDigest, is_beginning, parse_digest


def test_sixty_four_digits_are_a_digest() -> None:
    """In either case."""
    assert parse_digest("ab" * 32) == parse_digest("AB" * 32) == b"\xab" * 32


@pytest.mark.parametrize("text", ["", "ab", "ab" * 31, "ab" * 33, "zz" * 32, " " + "ab" * 32, "ab " * 32])
def test_anything_else_is_refused_with_what_to_do(text: str) -> None:
    """Wrong lengths, other letters and blanks are no digest."""
    with pytest.raises(BadDigest, match="sha256sum"):
        parse_digest(text)


def test_a_digest_may_be_named_by_its_first_digits() -> None:
    """Eight at least, so that hardly any other begins so; in small letters."""
    assert [is_beginning("a" * length) for length in (7, 8, 64, 65)] == [False, True, True, False]
    assert not any(map(is_beginning, ("A" * 8, "g" * 8, "a" * 8 + "\n", " " + "a" * 8, "")))
