"""What an administrator asks of scans: the port of rpc/scans_admin.py, over the desk and the known guests."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from appliance.domain.guest import user_of
from appliance.domain.scan import ScanOrder
from appliance.rpc.admin_calls import ControlRefused
from appliance.scans.board import Board
from appliance.scans.desk import Desk, ScanView
from appliance.scans.orders import OrderRefused, Placed, Wanted
from appliance.state.environment import StateError


class ScanControl:
    """Implements ScansControl."""

    def __init__(
        self, desk: Desk, known: Callable[[str], Mapping[str, str]], clock: Callable[[], float]
    ) -> None:
        """known: a tenant's guests that are, or were, here, or ("") all, and whose each is.

        clock: seconds since the epoch.
        """
        self._desk = desk
        self._known = known
        self._clock = clock

    def now(self) -> float:
        """Return the time."""
        return self._clock()

    @property
    def board(self) -> Board:
        """Which scans changed."""
        return self._desk.board

    async def order(self, guests: Sequence[str] | None, wanted: Wanted, tenant: str) -> Sequence[Placed]:
        """Have guests scanned. One on the unix socket is a process, which comes back under another name."""
        here = self._desk.guests()
        were = self._known(tenant)
        everybody = {**here, **{guest: whose for guest, whose in were.items() if guest not in here}}
        known = {guest: whose for guest, whose in everybody.items() if tenant in ("", whose)}
        if guests is None:
            guests = [guest for guest in known if not self._why_not(guest)]
            if not guests:
                raise ControlRefused("no guest is known that could scan: see `svm guests list`")
        for guest in guests:
            if guest not in known:
                raise ControlRefused(f"no guest {guest[:80]!r} is known: see `svm guests list`")
            if why := self._why_not(guest):
                raise ControlRefused(why)
        try:
            return await self._desk.orders.place({guest: known[guest] for guest in guests}, wanted)
        except (OrderRefused, StateError) as error:
            raise ControlRefused(str(error)) from error

    def views(self, tenant: str) -> Iterator[ScanView]:
        """How all stand, the newest first."""
        return map(self._desk.view, reversed(self._desk.orders.all(tenant)))

    def views_of(self, scans: Iterable[bytes], tenant: str) -> Iterator[ScanView]:
        """How some stand, but for those that are gone, or another tenant's."""
        orders = map(self._desk.orders.get, scans)
        return (self._desk.view(order) for order in orders if order is not None and _is_of(tenant, order))

    async def cancel(self, scans: Sequence[bytes] | None, actor: str, tenant: str) -> int:
        """Call scans off."""
        orders = self._desk.orders
        if scans is None:
            scans = [order.id for order in orders.open() if tenant in ("", order.tenant)]
        elif unknown := [scan for scan in scans if not _is_of(tenant, orders.get(scan))]:
            raise ControlRefused(f"no scan {unknown[0].hex()} is kept: see `svm guests scans`")
        try:
            return await self._desk.cancel(scans, actor)
        except StateError as error:
            raise ControlRefused(str(error)) from error

    def _why_not(self, guest: str) -> str:
        """Why a known guest cannot be expected to scan, "" where it can."""
        if user_of(guest) == guest or self._desk.has_daemon(guest):
            return ""
        return (
            f"{guest} is a process on the unix socket that is gone, or is no daemon: "
            "have `guest-stub run` attached there, and name that"
        )


def _is_of(tenant: str, order: ScanOrder | None) -> bool:
    """Whether there is an order, and it is a tenant's, or ("") anybody's."""
    return order is not None and tenant in ("", order.tenant)
