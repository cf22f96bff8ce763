"""What the sessions of one guest have together, what is its daemon's of it, and what they leave."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.rpc.flood import Flood
from appliance.verdicts.exposure import Gatherer

REMEMBERED_SECONDS = 60.0  # longer than any wait that a guest can owe under the defaults


class Pace:
    """How fast the programs of a guest may send messages of one kind together.

    Beside a daemon the others have half of it at the most, and wait for theirs before they count with the
    daemon's: so the daemon has half whatever they do.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        """per_second: of all together. clock: monotonic seconds."""
        self._all = Flood(per_second, clock)
        self._others = Flood(per_second / 2, clock)

    async def take(self, cost: float, stands_back: bool, slowed: Callable[[], None]) -> None:
        """Return when a message may be worked on.

        cost: how many it counts as. stands_back: whether it is not the daemon's, and there is one.
        slowed: called before each wait.
        """
        for flood in (self._others, self._all) if stands_back else (self._all,):
            await flood.take(cost, slowed)


@dataclass(slots=True, eq=False)
class Share:
    """What the sessions of one guest have together.

    open_digests: of its daemon (True), and of its other programs together (False), each bounded for itself.
    paces: the bounds on how fast it goes, by setting, the same for one stream after another.
    owed: what its last question turned out to cost beyond what was known when it was taken, in digests.
    told_slowed: when the operator was told last that a bound slows it, by the bound.
    gatherer: where the digests go that it asks about, None for nowhere.
    """

    open_digests: Counter[bool] = field(default_factory=Counter)
    paces: dict[str, Pace] = field(default_factory=dict)
    owed: int = 0
    told_slowed: dict[str, float] = field(default_factory=dict)
    gatherer: Gatherer | None = None


class Shares:
    """The shares of guests that went a moment ago: who comes back finds his own, and owes what he owed."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        """most: guests; of more the latest are remembered. clock: seconds."""
        self._most = most
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, Share]] = (
            OrderedDict()
        )  # by guest, who went last at the end

    def __len__(self) -> int:
        """How many guests are remembered."""
        return len(self._left)

    def leave(self, guest_id: str, share: Share) -> None:
        """Keep the share of a guest whose last session is over."""
        share.gatherer = None
        self._forget()
        self._left[guest_id] = (self._clock(), share)
        if len(self._left) > self._most:
            self._left.popitem(last=False)

    def come(self, guest_id: str) -> Share:
        """Return the share of a guest whose first session begins."""
        self._forget()
        _, share = self._left.pop(guest_id, (0.0, None))
        return Share() if share is None else share

    def _forget(self) -> None:
        now = self._clock()
        while self._left and next(iter(self._left.values()))[0] <= now - REMEMBERED_SECONDS:
            self._left.popitem(last=False)
