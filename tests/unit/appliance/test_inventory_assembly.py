"""The machines of the hosts in a running SVM."""

from pathlib import Path

from lightagent.v1 import guest_pb2

from appliance.domain.scan import ScanState
from appliance.domain.vm import HostVm, Protection, VmPower
from appliance.inventory_assembly import LEASES, Inventory, KnownGuests
from appliance.scans.orders import End, Wanted
from tests.support.machines import DB, HOST, agent, running
from tests.support.svm import RawGuest, running_svm, until


async def test_a_machine_is_protected_while_its_daemon_is_attached(tmp_path: Path) -> None:
    """By the name of the guest; any other program of it does not count."""
    async with running_svm(tmp_path) as svm, RawGuest.connect(svm, attach=False) as guest:
        parts = svm.parts
        guests = KnownGuests(parts.sessions, None)
        await guest.say_hello()
        (session,) = parts.sessions.all()
        name = session.guest.id
        assert not guests.attached(name)
        guest.attach.cancel()
        await until(lambda: not parts.sessions.all(), "it went")
        await guest.say_hello(guest_pb2.GUEST_PROGRAM_DAEMON)
        assert guests.attached(name)
        vms = [HostVm(name, "web", VmPower.RUNNING), running(DB, "db")]
        await parts.inventory.watch.register.report(agent(), vms, parts.inventory.watch.clock())
        await parts.inventory.look(parts.turns)
        figures = parts.inventory.watch.figures()
        assert (figures["vms"], figures["vms_protected"], figures["vms_not_enrolled"]) == (2, 1, 1)
        assert {view.placed.vm.name: view.protection for view in parts.inventory.watch.views("")} == {
            "web": Protection.PROTECTED,
            "db": Protection.NOT_ENROLLED,
        }


async def test_when_all_of_a_machine_was_scanned_is_noted(tmp_path: Path) -> None:
    """By an ordered scan of everything that came to its end, also one before a start."""
    async with running_svm(tmp_path) as svm:
        parts = svm.parts
        await parts.inventory.watch.register.report(agent(), [running(DB, "db")], 5e9)
        for paths, state in (((b"/home",), ScanState.DONE), ((), ScanState.INCOMPLETE), ((), ScanState.DONE)):
            [placed] = await parts.scans.orders.place({DB: "default"}, Wanted(paths, "me", 0))
            assert placed.order is not None
            await parts.scans.orders.end({placed.order.id: End(state)})
            for inventory in (parts.inventory, Inventory(parts.inventory.watch, parts.scans.orders)):
                await inventory.look(parts.turns)
            [view] = parts.inventory.watch.views("")
            assert bool(view.scanned_at) == (not paths and state is ScanState.DONE)


async def test_settings_say_how_long_a_host_stays_with_its_agent(tmp_path: Path) -> None:
    """Three reports may be missed."""
    async with running_svm(tmp_path) as svm:
        register = svm.parts.inventory.watch.register
        assert register.terms.lease_seconds == LEASES * 60.0
        await register.report(agent(), [], 1000.0)
        assert register.is_fresh(HOST, 1179.0)
