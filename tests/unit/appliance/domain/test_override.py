"""An administrator's word."""

from appliance.domain.override import Override


def test_it_counts_until_its_end() -> None:
    """Without an end it counts for good; at its end it does not any more."""
    assert Override(True, "why", "me", 1).in_force(10**12)
    ending = Override(True, "why", "me", 1, expires_at=100)
    assert ending.in_force(99)
    assert not ending.in_force(100)
