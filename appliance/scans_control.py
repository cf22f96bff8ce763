"""What an administrator asks of scans: the port of rpc/scans_admin.py, over the desk and the known guests."""

from collections.abc import Callable, Collection, Sequence

from appliance.domain.guest import user_of
from appliance.rpc.admin_calls import ControlRefused
from appliance.scans.board import Board
from appliance.scans.desk import Desk, ScanView
from appliance.scans.orders import OrderRefused, Placed, Wanted
from appliance.state.environment import StateError


class ScanControl:
    """Implements ScansControl."""

    def __init__(self, desk: Desk, known: Callable[[], Collection[str]], clock: Callable[[], float]) -> None:
        """known: the guests that are, or were, here. clock: seconds since the epoch."""
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

    async def order(self, guests: Sequence[str] | None, wanted: Wanted) -> Sequence[Placed]:
        """Have guests scanned. One on the unix socket is a process, which comes back under another name."""
        known = dict.fromkeys([*self._desk.guests(), *self._known()])
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
            return await self._desk.orders.place(guests, wanted)
        except (OrderRefused, StateError) as error:
            raise ControlRefused(str(error)) from error

    def views(self, scans: Sequence[bytes] | None) -> Sequence[ScanView]:
        """How scans stand."""
        return self._desk.views(scans)

    async def cancel(self, scans: Sequence[bytes] | None, actor: str) -> int:
        """Call scans off."""
        if scans is None:
            scans = [order.id for order in self._desk.orders.open()]
        elif unknown := [scan for scan in scans if self._desk.orders.get(scan) is None]:
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
