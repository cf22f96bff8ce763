"""Machines that stay cut off: what is tried when something of one changes."""

from pathlib import Path

from structlog.testing import capture_logs

from appliance.hypervisor.changes import VmSeen
from appliance.hypervisor.isolation.enforcing import Enforcer, isolator_of
from appliance.hypervisor.isolation.isolator import Order
from appliance.hypervisor.virt.domains import vm_of
from tests.support.host_serving import at_work, serving_over
from tests.support.svm import until
from tests.support.virt_test_host import UUID


async def test_a_machine_that_changes_is_looked_at(tmp_path: Path) -> None:
    """Where it is cut off; that it cannot be is told."""
    with capture_logs() as logs:
        async with serving_over(tmp_path) as (serving, line):
            isolator = isolator_of(serving.settings)
            async with at_work(Enforcer(serving)):
                vm = await line.ask(lambda host: vm_of(host, UUID))
                assert vm is not None
                serving.changes.publish(VmSeen(line.uri, vm))
                await line.ask(lambda host: isolator.isolate(host, UUID, "test", Order("why", "me")))
                serving.changes.publish(VmSeen(line.uri, vm))
                await until(lambda: bool(logs), "it is looked at")
    # Once or twice: a slow look at what was published first finds it cut off already.
    assert {(each["event"], each["machine"]) for each in logs} == {("machine is not cut off", "test")}
    assert "machine test is cut off in part: of 2 links 1 down" in logs[0]["why"]
