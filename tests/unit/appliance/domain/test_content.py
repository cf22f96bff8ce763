"""Tests of appliance/domain/content.py."""

from appliance.domain.content import ContentLabel


def test_what_is_remembered_of_a_content_is_one_tenants() -> None:
    """The same bytes of two tenants are two things."""
    first, second = (ContentLabel(b"d" * 32, 5, b"name", scope) for scope in (16, 17))
    assert first.key == (16, b"d" * 32)
    assert first.key != second.key
