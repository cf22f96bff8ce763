"""What an administrator asks of scans, where the service's own tests do not show it."""

from pathlib import Path
from unittest.mock import patch

import pytest

from appliance.rpc.admin_calls import ControlRefused
from appliance.scans.orders import Wanted
from appliance.scans_control import ScanControl
from appliance.state.environment import StateError
from appliance.state.scan_orders import ScanOrderStore
from tests.support.scan_desk import NOON, office, program

WANTED = Wanted((), "me", NOON)


async def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """With the sentence that says why; a list that is full of open ones as well."""
    with office(tmp_path) as desk:
        control = ScanControl(desk.desk, lambda _tenant: {"ip-1": "default"}, lambda: NOON)
        (placed,) = await control.order(["ip-1"], WANTED, "")
        assert placed.order is not None
        with patch.object(ScanOrderStore, "write", side_effect=StateError("disk full")):
            with pytest.raises(ControlRefused, match="disk full"):
                await control.order(["ip-1"], Wanted((b"/",), "me", NOON), "")
            with pytest.raises(ControlRefused, match="disk full"):
                await control.cancel(None, "me", "")
        with (
            patch("appliance.scans.orders.MOST_ORDERS", 1),
            patch("appliance.scans.orders.FIRST_OF_TENANT", 1),
            pytest.raises(ControlRefused, match="cancel some first"),
        ):
            await control.order(["ip-1"], Wanted((b"/",), "me", NOON), "")
        assert await control.cancel([placed.order.id], "me", "") == 1


async def test_all_are_those_that_can_be_expected(tmp_path: Path) -> None:
    """Known ones on TCP, and daemons on the unix socket; not processes that were here, nor other programs."""
    with office(tmp_path) as desk:
        for guest in (program("uid-0.pid-1"), program("uid-0.pid-2", daemon=False), program("ip-2")):
            desk.desk.attached(guest)
        control = ScanControl(
            desk.desk, lambda _tenant: dict.fromkeys(("ip-1", "ip-2", "uid-0.pid-9"), "default"), lambda: NOON
        )
        placed = await control.order(None, WANTED, "")
        assert [each.guest for each in placed] == ["uid-0.pid-1", "ip-2", "ip-1"]


async def test_a_tenant_orders_scans_of_its_own_guests(tmp_path: Path) -> None:
    """Of others it knows neither the guests, by name or among all, nor the scans, when it calls off."""
    with office(tmp_path) as desk:
        control = ScanControl(desk.desk, lambda _tenant: {"ours": "acme", "theirs": "other"}, lambda: NOON)
        (mine,) = await control.order(None, WANTED, "acme")
        (others,) = await control.order(["theirs"], WANTED, "")
        assert (mine.guest, mine.order and mine.order.tenant) == ("ours", "acme")
        assert others.order is not None
        with pytest.raises(ControlRefused, match="no guest 'theirs' is known"):
            await control.order(["ours", "theirs"], WANTED, "acme")
        with pytest.raises(ControlRefused, match=f"no scan {others.order.id.hex()} is kept"):
            await control.cancel([others.order.id], "me", "acme")
        assert await control.cancel(None, "me", "acme") == 1
        assert others.order.is_open
        assert await control.cancel([others.order.id], "me", "other") == 1


async def test_scans_are_shown_by_tenant_the_newest_first(tmp_path: Path) -> None:
    """By their ids too: another tenant's, and one that is gone, are not there."""
    with office(tmp_path) as desk:
        control = ScanControl(
            desk.desk, lambda _tenant: {"a1": "acme", "a2": "acme", "o": "other"}, lambda: NOON
        )
        placed = await control.order(["a1", "o", "a2"], WANTED, "")
        first, other, last = (each.order.id for each in placed if each.order)
        for tenant, ids in (("", [last, other, first]), ("acme", [last, first]), ("none", [])):
            assert [view.order.id for view in control.views(tenant)] == ids
        asked = (first, b"gone", other)
        assert [view.order.id for view in control.views_of(asked, "acme")] == [first]
        assert [view.order.id for view in control.views_of(asked, "")] == [first, other]
