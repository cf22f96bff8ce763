"""Whether a guest is in two places: what its programs say of themselves, in the order in which they say it.

A machine that was copied with its certificate shows itself by what cannot be true of one machine. Whatever
its programs say bears the boot id of that run of the machine, and its daemon bears a name that it drew when
it started. One machine leaves a boot id, or a daemon's name, behind for good when it starts anew. It comes
back to one once, when a snapshot of its memory is restored. Two that live take turns: A, B, A, B. So a guest
is in two places when it comes back twice within a while, each time while the other was still heard of.

Copies of a running machine have the same boot id and the same daemon's name, and differ by the address that
they come from. One machine may have two addresses, and take turns between them when its network fails again
and again: there many more turns are asked for.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

WITHIN_SECONDS = 600.0
RETURNS = 2
ADDRESS_RETURNS = 6  # where the address is all that differs
SETTLING_SECONDS = 5.0  # what is heard so soon after another began may have been on its way
REMEMBERED = 8  # of one guest: those that were heard last
MAX_GUESTS = 4096


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a guest, by its own word. address: where it comes from.

    daemon: the name that its daemon drew, "" for another program, which may be one of many.
    """

    boot_id: str
    daemon: str = ""
    address: str = ""


class Turns:
    """Who spoke last of those that take turns, and how often one came back after another."""

    def __init__(self) -> None:
        self._last: object = None
        self._since = 0.0
        self._heard: OrderedDict[object, None] = OrderedDict()
        self._returns: deque[float] = deque(maxlen=max(RETURNS, ADDRESS_RETURNS))

    def speaks(self, who: object, now: float, other_lives: bool) -> int:
        """Note that somebody speaks; how often within the last while somebody came back.

        other_lives: whether the one that spoke last was there still.
        """
        if who != self._last:
            if who in self._heard and other_lives:
                if now - self._since < SETTLING_SECONDS:
                    return self._count(now)
                self._returns.append(now)
            self._last, self._since = who, now
            self._heard[who] = None
            self._heard.move_to_end(who)
            if len(self._heard) > REMEMBERED:
                self._heard.popitem(last=False)
        return self._count(now)

    def _count(self, now: float) -> int:
        while self._returns and self._returns[0] <= now - WITHIN_SECONDS:
            self._returns.popleft()
        return len(self._returns)


@dataclass(slots=True)
class _Guest:
    boots: Turns = field(default_factory=Turns)
    daemons: Turns = field(default_factory=Turns)
    addresses: Turns = field(default_factory=Turns)


class Clones:
    """What was heard of guests; of more than MAX_GUESTS of those that were heard last."""

    def __init__(self) -> None:
        self._guests: OrderedDict[str, _Guest] = OrderedDict()

    def __len__(self) -> int:
        """How many guests are remembered."""
        return len(self._guests)

    def attaches(self, guest: str, life: Life, now: float, other_lives: bool) -> str:
        """Note that a program of a guest attaches; a sentence where the guest is in two places, else "".

        now: monotonic seconds. other_lives: whether the guest had a session besides when it came.
        """
        heard = self._of(guest)
        why = self.speaks(guest, life.boot_id, now, other_lives)
        if life.daemon and not why:
            returns = heard.daemons.speaks((life.boot_id, life.daemon), now, other_lives)
            moves = heard.addresses.speaks((life.boot_id, life.daemon, life.address), now, other_lives)
            if returns >= RETURNS:
                why = "two daemons of it take turns, of which each takes the other's place"
            elif moves >= ADDRESS_RETURNS:
                why = f"its daemon comes by turns from {life.address} and from another address"
        return why

    def speaks(self, guest: str, boot_id: str, now: float, other_lives: bool) -> str:
        """The same when a program that is attached says anything. other_lives: of another boot id."""
        if self._of(guest).boots.speaks(boot_id, now, other_lives) >= RETURNS:
            return "two machines speak for it by turns, each with a boot id of its own"
        return ""

    def forget(self, guest: str) -> None:
        """Begin anew with a guest."""
        self._guests.pop(guest, None)

    def _of(self, guest: str) -> _Guest:
        heard = self._guests.setdefault(guest, _Guest())
        self._guests.move_to_end(guest)
        if len(self._guests) > MAX_GUESTS:
            self._guests.popitem(last=False)
        return heard
