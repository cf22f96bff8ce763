"""Tests of appliance/scans/desk.py."""

import logging
from pathlib import Path
from unittest.mock import patch

import pytest

from appliance.domain.guest import Guest
from appliance.domain.scan import ScanState
from appliance.scans.desk import MOST_OWN_SCANS, TooManyScans
from appliance.state.environment import StateError
from tests.support.scan_desk import DAY, Program, office, program, with_slots
from tests.support.svm import until

WAITING, RUNNING, DONE = ScanState.WAITING, ScanState.RUNNING, ScanState.DONE


def own(number: int) -> bytes:
    """An id as a guest draws it."""
    return number.to_bytes(16, "big")


async def test_an_order_is_told_to_the_daemon_alone(tmp_path: Path) -> None:
    """At once where it is attached, else when it attaches; another program of the guest hears nothing."""
    with office(tmp_path) as desk:
        daemon, other = program(), program(daemon=False)
        desk.desk.attached(other)
        (order,) = await desk.order("ip-1", paths=(b"/home",))
        assert desk.state(order) is ScanState.AWAY
        desk.desk.attached(daemon)
        assert daemon.scan_news.tasks == {order.id: (b"/home",)}
        assert daemon.news.is_set()
        assert not other.scan_news.tasks
        (later,) = await desk.order("ip-1", paths=(b"/srv",))
        assert daemon.scan_news.tasks == {order.id: (b"/home",), later.id: (b"/srv",)}
        assert desk.state(order) is WAITING


async def test_an_order_falls_due(tmp_path: Path) -> None:
    """The daemon hears of it then, and of none before; what it says of it before counts for nothing."""
    with office(tmp_path) as desk:
        daemon = program()
        desk.desk.attached(daemon)
        (order,) = await desk.order("ip-1", due_in=3600)
        await desk.desk.tick()
        await desk.says(daemon, order.id, DONE)
        assert not daemon.scan_news.tasks
        assert desk.state(order) is ScanState.SCHEDULED
        desk.advance(3600)
        await desk.desk.tick()
        assert daemon.scan_news.tasks == {order.id: ()}


async def test_a_scan_runs_on_a_slot_and_ends(tmp_path: Path) -> None:
    """What the guest says is shown; its end counts once, and frees the slot."""
    with office(tmp_path, with_slots(1)) as desk:
        daemon, other = program(), program("ip-2")
        desk.desk.attached(daemon)
        desk.desk.attached(other)
        (order,) = await desk.order("ip-1")
        await desk.says(daemon, order.id, WAITING)
        await until(lambda: daemon.scan_news.slots == {order.id: True}, "it has a slot")
        await desk.says(daemon, order.id, RUNNING, files=3, expected=10)
        assert desk.state(order) is RUNNING
        await desk.says(other, own(1), RUNNING)
        assert other.scan_news.slots == {own(1): False}
        await desk.says(daemon, order.id, DONE, files=10)
        (view,) = map(desk.desk.view, desk.desk.orders.all())
        assert (view.state, view.counts.files, view.order.is_open) == (DONE, 10, False)
        await until(lambda: other.scan_news.slots == {own(1): True}, "the next has the slot")
        await desk.says(daemon, order.id, DONE, files=99)
        await desk.says(daemon, order.id, RUNNING)
        assert desk.desk.view(desk.desk.orders.all()[0]).counts.files == 10
        assert daemon.scan_news.tasks[order.id] is None  # called off: it is over
        assert desk.desk.figures()["scan_orders_ended"] == 1


async def test_what_goes_gives_its_slots_back(tmp_path: Path) -> None:
    """And the order waits for the daemon to come back."""
    with office(tmp_path, with_slots(1)) as desk:
        daemon = program()
        desk.desk.attached(daemon)
        (order,) = await desk.order("ip-1")
        await desk.says(daemon, order.id, RUNNING, files=3)
        await until(lambda: desk.desk.slots.running == 1, "it has the slot")
        desk.desk.detached(daemon)
        desk.desk.detached(daemon)
        await desk.says(daemon, order.id, DONE)
        assert (desk.desk.slots.running, desk.state(order)) == (0, ScanState.AWAY)
        again = program()
        desk.desk.attached(again)
        assert again.scan_news.tasks == {order.id: ()}


async def test_a_new_daemon_before_the_old_has_gone(tmp_path: Path) -> None:
    """What the old one still says of an order is a word of nobody; its going does not end the new one."""
    with office(tmp_path) as desk:
        old, new = program(), program()
        desk.desk.attached(old)
        (order,) = await desk.order("ip-1")
        desk.desk.attached(new)
        await desk.says(old, order.id, DONE)
        desk.desk.detached(old)
        assert desk.state(order) is WAITING
        await desk.says(new, order.id, DONE)
        assert desk.state(order) is DONE


async def test_a_session_has_few_scans_of_its_own(tmp_path: Path) -> None:
    """The fifth that is not over is refused; orders do not count."""
    with office(tmp_path) as desk:
        daemon = program()
        desk.desk.attached(daemon)
        (order,) = await desk.order("ip-1")
        await desk.says(daemon, order.id, WAITING)
        for number in range(MOST_OWN_SCANS):
            await desk.says(daemon, own(number), WAITING)
            await desk.says(daemon, own(number), WAITING)
        with pytest.raises(TooManyScans, match="end one of them"):
            await desk.says(daemon, own(99), RUNNING)
        await desk.says(daemon, own(0), DONE)
        await desk.says(daemon, own(99), RUNNING)
        assert desk.desk.slots.running + desk.desk.slots.waiting == MOST_OWN_SCANS + 1


async def test_an_order_is_called_off(tmp_path: Path) -> None:
    """With what was found so far; the guest is told where it is here. A second time it was over."""
    with office(tmp_path) as desk:
        daemon = program()
        desk.desk.attached(daemon)
        here, away = await desk.order("ip-1", "ip-2")
        await desk.says(daemon, here.id, RUNNING, files=3)
        assert await desk.desk.cancel([here.id, away.id], "uid-7") == 2
        assert await desk.desk.cancel([here.id, away.id], "uid-7") == 0
        views = list(map(desk.desk.view, desk.desk.orders.all()))
        assert [view.state for view in views] == [ScanState.CANCELLED] * 2
        assert views[0].counts.files == 3
        assert "uid-7" in views[0].text
        assert daemon.scan_news.tasks == {here.id: None}
        assert desk.desk.slots.running + desk.desk.slots.waiting == 0


async def test_who_does_not_come_in_time_is_not_waited_for(tmp_path: Path) -> None:
    """One that has begun is, and one behind it; the days count from when it was due."""
    with office(tmp_path) as desk:
        daemon, idle = program(), program("ip-3")
        desk.desk.attached(daemon)
        desk.desk.attached(idle)
        begun, away, silent = await desk.order("ip-1", "ip-2", "ip-3")
        (later,) = await desk.order("ip-4", due_in=int(DAY))
        (behind,) = await desk.order("ip-1", paths=(b"/srv",))
        await desk.says(daemon, begun.id, WAITING)
        desk.advance(7 * DAY + 1)
        await desk.desk.tick()
        states = [desk.state(order) for order in (begun, behind, away, silent, later)]
        assert states == [RUNNING, WAITING, ScanState.EXPIRED, ScanState.EXPIRED, ScanState.AWAY]


async def test_an_end_that_cannot_be_written_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Until it is on the disk the order is open."""
    with office(tmp_path) as desk:
        daemon = program()
        desk.desk.attached(daemon)
        (order,) = await desk.order("ip-1")
        with patch("appliance.state.scan_orders.ScanOrderStore.write", side_effect=StateError("disk full")):
            await desk.says(daemon, order.id, DONE, files=5)
            await desk.desk.tick()
            assert desk.state(order) is WAITING
        assert [record.levelno for record in caplog.records if "disk full" in record.message] == [
            logging.WARNING
        ]
        await desk.desk.tick()
        (view,) = map(desk.desk.view, desk.desk.orders.all())
        assert (view.state, view.counts.files) == (DONE, 5)


async def test_what_the_kernel_does_not_tell_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And scans go on."""
    with office(tmp_path) as desk:
        await desk.desk.tick()
        await desk.desk.tick()
        assert desk.desk.slots.allowed == 2
    (said,) = [record.message for record in caplog.records if "does not tell" in record.message]
    assert "/proc/pressure/cpu, /proc/pressure/io" in said


async def test_what_is_too_old_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An order that is over is forgotten after its days, also by who follows; a full disk keeps it."""
    with office(tmp_path) as desk:
        (order,) = await desk.order("ip-1")
        await desk.desk.cancel([order.id], "me")
        desk.advance(30 * DAY + 1)
        with patch("appliance.state.scan_orders.ScanOrderStore.write", side_effect=StateError("disk full")):
            await desk.desk.age()
        assert "disk full" in caplog.text
        await desk.desk.age()
        assert desk.desk.orders.all() == []
        assert desk.desk.board.since(0) == []


async def test_a_restart_goes_on(tmp_path: Path) -> None:
    """Orders that are open are told, those that are over are listed."""
    with office(tmp_path) as desk:
        over, left = await desk.order("ip-1", "ip-2")
        await desk.desk.cancel([over.id], "me")
    with office(tmp_path) as desk:
        assert (desk.state(over), desk.state(left)) == (ScanState.CANCELLED, ScanState.AWAY)
        daemon = program("ip-2")
        desk.desk.attached(daemon)
        assert daemon.scan_news.tasks == {left.id: ()}


async def test_many_processes_of_a_user_are_one_guest(tmp_path: Path) -> None:
    """On the unix socket, where anybody may start a hundred: he shares the slots with others as one."""
    with office(tmp_path, with_slots(2)) as desk:
        crowd = [program(f"uid-7.pid-{number}", daemon=False) for number in range(100)]
        other = program("uid-8.pid-1", daemon=False)
        for who in [*crowd, other]:
            desk.desk.attached(who)
            await desk.says(who, own(1), WAITING)
        await until(lambda: desk.desk.slots.running == 2, "two have slots")
        assert other.scan_news.slots == {own(1): True}
        assert crowd[0].scan_news.slots == {own(1): True}


async def test_an_order_of_another_tenant_is_not_told_to_who_has_the_name_now(tmp_path: Path) -> None:
    """A guest that was moved to another tenant does not scan for the one before, nor ends its orders."""
    with office(tmp_path) as desk:
        (order,) = await desk.order("ip-1")
        moved = Program(Guest("ip-1", 17, "acme"))
        desk.desk.attached(moved)
        assert moved.scan_news.tasks == {}
        await desk.says(moved, order.id, ScanState.DONE)
        assert desk.state(order) is ScanState.AWAY
        daemon = program()
        desk.desk.detached(moved)
        desk.desk.attached(daemon)
        assert list(daemon.scan_news.tasks) == [order.id]
