"""What is known of a machine."""

from appliance.hypervisor.vm import Power


def test_what_is_off_alone_has_no_memory() -> None:
    """What is paused has one, and can be looked into."""
    assert [power for power in Power if not power.has_memory] == [Power.OFF]
