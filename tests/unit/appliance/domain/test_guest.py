"""Who asks."""

import pytest

from appliance.domain.guest import user_of


@pytest.mark.parametrize(
    ("guest_id", "user"),
    [
        ("uid-1001.pid-4711", "uid-1001"),
        ("uid-1001.pid-4711.8", "uid-1001"),
        ("ip-10.0.0.7", "ip-10.0.0.7"),
        ("ip-[fe80::1]", "ip-[fe80::1]"),
    ],
)
def test_tickets_of_a_user_are_known_as_his(guest_id: str, user: str) -> None:
    """On a unix socket the user counts, on TCP the address."""
    assert user_of(guest_id) == user
