"""What bounds guests, wired up; the rest of it is in tests/integration/test_limits.py."""

import pytest

from appliance.config_limits import Limits
from appliance.limits_assembly import watched_door
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
    told: list[tuple[str, str, str]] = []
    sessions.on_breach.append(lambda guest, kind, why: told.append((guest.id, kind, why)))
    made = watched_door(Address.parse(listen), limits, sessions, "admin_connections")
    assert (made.door, made.of_one, made.of_all) == (door, most, 1024)
    made.on_over("192.0.2.7", 3)
    made.on_full()
    assert sessions.overs["guest_over_connections_per_address"] == 3
    assert sessions.overs["guest_over_admin_connections"] == 1
    assert [each[:2] for each in told] == [("192.0.2.7", "refused"), ("everybody", "full")]
    assert told[1][2].endswith(
        "which is all that the door takes, others are closed: see limits.admin_connections"
    )
