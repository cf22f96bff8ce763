"""What parts hear of machines."""

import asyncio

from appliance.hypervisor.changes import Changes, VmGone, VmSeen
from appliance.hypervisor.vm import Power, Vm

OFF = VmSeen("test:///a", Vm("u-1", "web", Power.OFF))
ON = VmSeen("test:///a", Vm("u-1", "web", Power.RUNNING), started=True)
PAUSED = VmSeen("test:///a", Vm("u-1", "web", Power.PAUSED))
OTHER = VmSeen("test:///b", Vm("u-2", "db", Power.RUNNING))


async def test_who_comes_later_hears_of_every_machine_first() -> None:
    """Without that it had started, which is long ago."""
    changes = Changes()
    changes.publish(ON)
    subscription = changes.subscribe()
    changes.publish(OTHER)
    heard = [await anext(subscription), await anext(subscription)]
    assert heard == [VmSeen(ON.host, ON.vm), OTHER]
    assert changes.known() == [ON, OTHER]


async def test_a_slow_one_hears_the_newest_and_that_it_started() -> None:
    """A step between is left out; that a machine began to run is not."""
    changes = Changes()
    subscription = changes.subscribe()
    for change in (OFF, ON, PAUSED):
        changes.publish(change)
    assert await anext(subscription) == VmSeen(PAUSED.host, PAUSED.vm, started=True)
    waiting = asyncio.ensure_future(anext(subscription))  # noqa: TID251  it is awaited below
    await asyncio.sleep(0)
    assert not waiting.done()
    changes.publish(VmGone(OFF.host, "u-1"))
    assert await waiting == VmGone(OFF.host, "u-1")
    assert changes.known() == []


async def test_the_end_is_told_after_what_waits() -> None:
    """So that a part can end its loop."""
    changes = Changes()
    changes.publish(OFF)
    subscription = changes.subscribe()
    changes.close()
    assert [change async for change in subscription] == [OFF]


def test_of_two_hosts_that_have_a_machine_that_counts_where_it_runs() -> None:
    """As in a migration."""
    changes = Changes()
    for host, power in (("test:///a", Power.RUNNING), ("test:///b", Power.OFF)):
        changes.publish(VmSeen(host, Vm("u-1", "web", power)))
    found = changes.of_uuid("u-1")
    assert found is not None
    assert found.host == "test:///a"
    assert changes.of_uuid("u-9") is None
