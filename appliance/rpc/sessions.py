"""The guests that are attached now: one session each, and the bounds on what one may hold."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from appliance.domain.guest import Guest
from appliance.rpc.flood import Flood
from appliance.rpc.journals import Journals
from appliance.verdicts.exposure import Gatherer

_TELL_SLOWED_SECONDS = 60.0


def everybody(_guest: Guest) -> bool:
    """What concerns every guest."""
    return True


class TooManyGuests(Exception):
    """The SVM has as many guests as its configuration allows."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a guest calls itself: for people, never a key."""

    host_name: str = ""
    stub_version: str = ""
    os: str = ""
    boot_id: str = ""


@dataclass(slots=True, eq=False)
class Session:
    """One attached guest, for the life of its Attach stream.

    news: what its Attach stream is to send; bounded by merging, see `Sessions.tell_*`.
    calls: its Check and Scan calls. readers: the halves of its calls that take its messages, which are
    cancelled when the session ends, or when the SVM stops.
    flood: the bound on its questions, the same for one Check stream after another.
    gatherer: where the digests go that it asks about, None for nowhere.
    """

    guest: Guest
    labels: Labels
    attached_at: float
    digests_asked: int = 0
    bytes_uploaded: int = 0
    open_digests: int = 0
    checking: bool = False
    scans: int = 0
    calls: set[asyncio.Task[object]] = field(default_factory=set)
    readers: set[asyncio.Task[None]] = field(default_factory=set)
    ended: bool = False
    generation_moved: bool = False
    revoked: set[bytes] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    replaced: bool = False
    flood: Flood | None = None
    told_slowed_at: float = -math.inf
    journals: Journals = field(default_factory=Journals)
    gatherer: Gatherer | None = None

    def stop_reading(self) -> None:
        """Take no more of the guest's messages."""
        for reader in list(self.readers):
            reader.cancel()

    def end(self) -> None:
        """Cut the guest's calls."""
        self.ended = True
        self.stop_reading()


class Sessions:
    """All attached guests, by the identity of their connection."""

    def __init__(self, max_guests: int, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self.stopping = False
        self.greeting: set[str] = set()  # guests whose Attach has not said Hello yet
        self.counts = {
            "attached": 0,
            "breaches": 0,
            "slowed": 0,
            "tickets_refused": 0,
            "uploads": 0,
            "uploads_refused": 0,
        }
        self.on_breach: list[Callable[[Guest, str, str], None]] = []
        self.on_attach: list[Callable[[Session], None]] = []
        self.on_detach: list[Callable[[Session], None]] = []
        self._max_guests = max_guests
        self._clock = clock
        self._by_guest: dict[str, Session] = {}
        self._vouched: defaultdict[str, set[asyncio.Timeout]] = defaultdict(set)  # its Attach calls

    def all(self) -> list[Session]:
        """Every session, in the order of attaching."""
        return list(self._by_guest.values())

    def of(self, guest: Guest) -> Session | None:
        """The guest's session, None where it has no open Attach."""
        return self._by_guest.get(guest.id)

    def attach(self, guest: Guest, labels: Labels) -> Session:
        """Open a session; one that the guest has already is replaced. Raises TooManyGuests."""
        before = self._by_guest.pop(guest.id, None)
        if before is not None:
            before.replaced = True
            before.news.set()
            before.end()
        if len(self._by_guest) >= self._max_guests:
            raise TooManyGuests(
                f"{self._max_guests} guests are attached, which is all that this SVM takes: "
                "raise limits.max_guests, or come back later"
            )
        session = Session(guest, labels, self._clock())
        self._by_guest[guest.id] = session
        self.counts["attached"] += 1
        for listener in self.on_attach:
            listener(session)
        return session

    def detach(self, session: Session) -> None:
        """Close a session and cut its calls."""
        if self._by_guest.get(session.guest.id) is session:
            del self._by_guest[session.guest.id]
            for listener in self.on_detach:
                listener(session)
        session.end()

    def breach(self, guest: Guest, kind: str, sentence: str) -> None:
        """Note that a guest broke a rule or was refused: a counter, and whoever listens."""
        self.counts["breaches"] += 1
        for listener in self.on_breach:
            listener(guest, kind, sentence)

    def slowed(self, session: Session) -> None:
        """Note that a guest talks too fast and is made to wait: a counter, and now and then a line."""
        self.counts["slowed"] += 1
        now = self._clock()
        if now - session.told_slowed_at < _TELL_SLOWED_SECONDS:
            return
        session.told_slowed_at = now
        sentence = "it sends more than limits.messages_per_second: it is made to wait, and not cut off"
        for listener in self.on_breach:
            listener(session.guest, "slowed", sentence)

    @contextmanager
    def vouched(self, guest: Guest, patience: asyncio.Timeout) -> Iterator[None]:
        """Have the guest's Attach call, which runs within `patience`, end when its ticket does."""
        self._vouched[guest.id].add(patience)
        try:
            yield
        finally:
            self._vouched[guest.id].discard(patience)
            if not self._vouched[guest.id]:
                del self._vouched[guest.id]

    def ticket_ended(self, guest_id: str) -> None:
        """Nobody vouches for the guest any more: its Attach ends, and with it its session and its calls."""
        for patience in self._vouched.pop(guest_id, ()):
            patience.reschedule(asyncio.get_running_loop().time())

    def no_ticket(self, caller: str, sentence: str) -> None:
        """Note that a caller got no ticket, since there are as many as there may be."""
        self.counts["tickets_refused"] += 1
        self.breach(Guest(id=caller), "refused", sentence)

    def stop(self) -> None:
        """Take no more from any guest; what was accepted is still answered."""
        self.stopping = True
        for session in self._by_guest.values():
            session.stop_reading()

    def tell_generation(self) -> None:
        """Have every guest told that the generation moved."""
        for session in self._by_guest.values():
            session.generation_moved = True
            session.news.set()

    def tell_revoked(self, digest: bytes, concerns: Callable[[Guest], bool] = everybody) -> None:
        """Have every guest that it concerns told that answers about the digest are void."""
        for session in self._by_guest.values():
            if concerns(session.guest):
                session.revoked.add(digest)
                session.news.set()
