"""What bounds guests, wired up; the rest of it is in tests/integration/test_limits.py."""

import pytest

from appliance.config_limits import Limits
from appliance.limits_assembly import assemble_connections
from appliance.rpc.connections import Door
from appliance.rpc.server import Address
from appliance.rpc.sessions import Sessions


@pytest.mark.parametrize(
    ("listen", "door", "most"),
    [
        ("tcp:[::1]:7443", Door(port=7443), 5),
        ("unix:/run/x.sock", Door(path="/run/x.sock"), 5 + 7),
    ],
)
def test_the_settings_bound_connections(listen: str, door: Door, most: int) -> None:
    """Of an address on TCP; of a user on a unix socket, beside those for his tickets."""
    sessions = Sessions(1, lambda: 7.0)
    limits = Limits(connections_per_address=5, tickets_per_user=7)
    made = assemble_connections(Address.parse(listen), limits, sessions)
    assert (made.door, made.most) == (door, most)
    assert sessions.on_stuck == [made.cut]
    made.on_over("192.0.2.7", 3)
    assert sessions.overs["guest_over_connections_per_address"] == 3
