"""A host's libvirt, asked from a loop."""

import threading

import pytest

from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.domains import vms
from appliance.hypervisor.virt.line import HostLine


async def test_a_host_that_is_not_connected_fails_each_question() -> None:
    """Until it is."""
    line = HostLine("test:///default")
    with pytest.raises(VirtError, match="not connected now"):
        await line.ask(vms)
    with VirtHost.open(line.uri) as line.host:
        assert [vm.name for vm in await line.ask(vms)] == ["test"]


async def test_a_host_that_does_not_answer_costs_its_deadline() -> None:
    """And not the loop."""
    line, end = HostLine("test:///default"), threading.Event()
    with VirtHost.open(line.uri) as line.host:
        with pytest.raises(VirtError, match=r"did not answer within 0\.05 s"):
            await line.ask(lambda _host: end.wait(), 0.05)
        end.set()
