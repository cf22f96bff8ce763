"""The text of a token."""

import re

from appliance.identity.tokens import MAX_TOKEN_BYTES, digest_of, new_text


def test_a_token_is_long_random_and_known_by_its_beginning() -> None:
    """256 bits, and fits a message; of what is kept it cannot be made again."""
    texts = {new_text() for _ in range(100)}
    assert len(texts) == 100
    assert all(re.fullmatch(r"kvmla1_[A-Za-z0-9_-]{43}", text) for text in texts)
    assert max(map(len, texts)) <= MAX_TOKEN_BYTES
    assert len({digest_of(text) for text in texts}) == 100
    assert {len(digest_of(text)) for text in (*texts, "", "x" * 1000)} == {32}
