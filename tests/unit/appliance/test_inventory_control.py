"""What host agents tell a running SVM."""

from pathlib import Path

import pytest

from appliance.domain.event import EventKind
from appliance.inventory_control import HostControl
from appliance.rpc.admin_calls import ControlRefused
from tests.support.machines import DB, WEB, agent, running
from tests.support.svm import running_svm


async def test_what_is_told_of_a_machine_is_on_the_disk_as_an_event(tmp_path: Path) -> None:
    """When the call returns; with who told it, and whose the machine is."""
    async with running_svm(tmp_path) as svm:
        control, store = HostControl(svm.parts), svm.parts.witness.log.store
        assert control.report_seconds == 60
        await control.report(agent(), [running(tenant="acme")])
        await control.told(agent(), WEB, EventKind.VM_ISOLATED, "Worm was detected")
        [(_, event)] = store.from_number(store.last, 1)
        assert (event.kind, event.guest, event.tenant) == (EventKind.VM_ISOLATED, WEB, "acme")
        assert (event.text, event.actor) == ("web on host-1: Worm was detected", "host-agent anna")
        assert [view.placed.vm.uuid for view in control.vms("acme")] == [WEB]
        assert list(control.vms("other")) == []


async def test_what_cannot_be_taken_is_refused(tmp_path: Path) -> None:
    """With the sentence of who knows why."""
    async with running_svm(tmp_path) as svm:
        control = HostControl(svm.parts)
        await control.report(agent(), [running()])
        with pytest.raises(ControlRefused, match="stands for this host"):
            await control.report(agent(instance=b"j" * 16), [])
        with pytest.raises(ControlRefused, match="has no machine"):
            await control.told(agent(), DB, EventKind.VM_ISOLATED, "")
