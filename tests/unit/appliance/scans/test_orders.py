"""Tests of appliance/scans/orders.py."""

import asyncio
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from appliance.domain.scan import ScanCounts, ScanState
from appliance.scans.orders import MOST_OPEN_OF_GUEST, End, OrderRefused, Wanted
from appliance.state.environment import StateError
from appliance.state.scan_orders import ScanOrderStore
from tests.support.scan_desk import DAY, NOON, office

DONE = End(ScanState.DONE, ScanCounts(files=1))


async def test_the_same_scan_is_ordered_once(tmp_path: Path) -> None:
    """Of the same guest and paths, while it is open; the earlier time counts."""
    with office(tmp_path) as desk:
        orders = desk.desk.orders
        (first,) = await desk.order("ip-1", due_in=3600)
        (placed,) = await orders.place({"ip-1": "default"}, Wanted((), "me", NOON + 7200))
        assert placed.already
        assert placed.order == first
        (sooner,) = await desk.order("ip-1", due_in=60)
        assert (sooner.id, sooner.due_at) == (first.id, NOON + 60)
        (other,) = await desk.order("ip-1", paths=(b"/home",))
        assert other.id != first.id
        await orders.end({first.id: DONE})
        (again,) = await desk.order("ip-1")
        assert again.id not in {first.id, other.id}
    with office(tmp_path) as desk:
        assert desk.desk.orders.get(first.id).due_at == NOON + 60  # type: ignore[union-attr]


async def test_a_guest_has_few_open_orders(tmp_path: Path) -> None:
    """The next is refused with a sentence, and others who were named with it are not."""
    with office(tmp_path) as desk:
        for number in range(MOST_OPEN_OF_GUEST):
            await desk.order("ip-1", paths=(b"/%d" % number,))
        full, fine = await desk.desk.orders.place(
            dict.fromkeys(("ip-1", "ip-2"), "default"), Wanted((), "me", NOON)
        )
        assert full.order is None
        assert "cancel one" in full.why
        assert fine.order is not None


async def test_what_is_over_makes_way_for_what_is_new(tmp_path: Path) -> None:
    """What ended first goes first; where all are open, nothing more is ordered."""
    with (
        patch("appliance.scans.orders.MOST_ORDERS", 3),
        patch("appliance.scans.orders.FIRST_OF_TENANT", 0),
        office(tmp_path) as desk,
    ):
        orders = desk.desk.orders
        first, second, third = await desk.order("ip-1", "ip-2", "ip-3")
        await orders.end({second.id: DONE})
        desk.advance(5)
        await orders.end({first.id: DONE})
        forgotten: list[bytes] = []
        orders.on_forgotten.append(forgotten.append)
        (new,) = await desk.order("ip-4")
        assert forgotten == [second.id]
        assert {order.id for order in orders.all()} == {first.id, third.id, new.id}
        with pytest.raises(OrderRefused, match="cancel some first"):
            await desk.order("ip-5", "ip-6")
        assert len(orders) == 3
        assert {order.id for order in orders.all("default")} == {order.id for order in orders.all()}
        assert orders.all("other") == []
        await desk.order("ip-5")
    with office(tmp_path) as desk:
        assert {order.guest for order in desk.desk.orders.all()} == {"ip-3", "ip-4", "ip-5"}


async def test_a_tenant_that_has_few_finds_room_for_them_whatever_others_have(tmp_path: Path) -> None:
    """So many open ones, and no more; what is over makes way first."""
    with (
        patch("appliance.scans.orders.MOST_ORDERS", 3),
        patch("appliance.scans.orders.FIRST_OF_TENANT", 2),
        office(tmp_path) as desk,
    ):
        orders = desk.desk.orders
        first, *_ = await desk.order("ip-1", "ip-2", "ip-3")
        with pytest.raises(OrderRefused, match="cancel some first"):
            await desk.order("ip-4")
        await orders.end({first.id: DONE})
        await orders.place(dict.fromkeys(("ip-5", "ip-6"), "acme"), Wanted((), "ann", NOON))
        assert {order.guest for order in orders.all()} == {"ip-2", "ip-3", "ip-5", "ip-6"}
        with pytest.raises(OrderRefused, match="cancel some first"):
            await orders.place({"ip-7": "acme"}, Wanted((), "ann", NOON))
        await orders.place({"ip-8": "other"}, Wanted((), "bob", NOON))


async def test_what_could_not_be_written_is_not_so(tmp_path: Path) -> None:
    """Neither an order nor an end, and nobody is told."""
    with office(tmp_path) as desk:
        orders = desk.desk.orders
        told: list[object] = []
        (order,) = await desk.order("ip-1")
        orders.on_ordered.append(told.append)
        orders.on_ended.append(told.append)
        with patch.object(ScanOrderStore, "write", side_effect=StateError("disk full")):
            with pytest.raises(StateError):
                await desk.order("ip-2")
            with pytest.raises(StateError):
                await orders.end({order.id: DONE})
        assert told == []
        assert orders.all() == [order]
        assert orders.open_of("ip-1") == [order]
        assert orders.open_of("ip-2") == []


async def test_a_change_is_made_whole_when_its_caller_goes(tmp_path: Path) -> None:
    """A guest that goes away amid its last word has ended its scan all the same."""
    with office(tmp_path) as desk:
        orders = desk.desk.orders
        (order,) = await desk.order("ip-1")
        gate, begun, write = threading.Event(), threading.Event(), ScanOrderStore.write

        def slow(store: ScanOrderStore, *arguments: object) -> None:
            begun.set()
            assert gate.wait(30)
            write(store, *arguments)  # type: ignore[arg-type]

        with patch.object(ScanOrderStore, "write", slow):
            caller = asyncio.get_running_loop().create_task(orders.end({order.id: DONE}))
            await asyncio.to_thread(begun.wait, 30)
            caller.cancel()
            await asyncio.sleep(0)
            assert not caller.done()
            assert orders.open()
            gate.set()
            await orders.finish()
            with pytest.raises(asyncio.CancelledError):
                await caller
        assert orders.all()[0].state is ScanState.DONE
        assert orders.open() == []


async def test_old_ends_are_forgotten(tmp_path: Path) -> None:
    """After their days; what is open stays, however old."""
    with office(tmp_path) as desk:
        over, left = await desk.order("ip-1", "ip-2")
        await desk.desk.orders.end({over.id: DONE, b"?" * 16: DONE})
        desk.advance(31 * DAY)
        await desk.desk.orders.age()
        assert desk.desk.orders.all() == [left]
    with office(tmp_path) as desk:
        assert desk.desk.orders.all() == [left]
