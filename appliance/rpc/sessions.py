"""The guests that are attached now: a session for each program of theirs, and what one may hold."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from appliance.config_limits import Limits
from appliance.domain.guest import Guest
from appliance.rpc.journals import Journals
from appliance.rpc.over import OVER, counter_of
from appliance.rpc.share import Pace, Share, Shares
from appliance.rpc.tenants import Tenant, TenantPace
from appliance.scanning.company import Company
from appliance.scans.news import ScanNews

_BESIDE_OTHERS = {"digests_per_second", "upload_mib_per_second"}  # that count while others are here
_TENANT_PACES = ("digests_per_second", "upload_mib_per_second", "events_per_second")
MANY_OTHERS = 10  # guests beside which one has the pace of the settings, beside fewer in proportion more
_TELL_SLOWED_SECONDS = 60.0


def everybody(_guest: Guest) -> bool:
    """What concerns every guest."""
    return True


class TooManyGuests(Exception):
    """The SVM has as many guests as its configuration allows, or a guest as many sessions as it may have.

    bound: the setting that says how many.
    """

    def __init__(self, sentence: str, bound: str = "limits.sessions") -> None:
        super().__init__(sentence)
        self.bound = bound


@dataclass(frozen=True, slots=True)
class Labels:
    """What a guest calls itself: for people, never a key."""

    host_name: str = ""
    stub_version: str = ""
    os: str = ""
    boot_id: str = ""


@dataclass(slots=True, eq=False)
class Session:
    """One attached program of a guest, for the life of its Attach stream.

    name: what it drew for itself, "" for none. is_daemon: whether it is what protects the guest.
    voided: how many digests it was told that answers about them are void.
    news: what its Attach stream is to send; bounded by merging, see `Sessions.tell_*`.
    calls: its Check and Scan calls. readers: the halves of its calls that take its messages, which are
    cancelled when the session ends, or when the SVM stops.
    """

    guest: Guest
    labels: Labels
    attached_at: float
    name: str = ""
    is_daemon: bool = False
    share: Share = field(default_factory=Share)
    digests_asked: int = 0
    bytes_uploaded: int = 0
    checking: bool = False
    scans: int = 0
    calls: set[asyncio.Task[object]] = field(default_factory=set)
    readers: set[asyncio.Task[None]] = field(default_factory=set)
    ended: bool = False
    generation_moved: bool = False
    revoked: set[bytes] = field(default_factory=set)
    voided: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    replaced: bool = False
    takes_nothing: bool = False
    journals: Journals = field(default_factory=Journals)
    scan_news: ScanNews = field(default_factory=ScanNews)

    def stop_reading(self) -> None:
        """Take no more of the guest's messages."""
        for reader in list(self.readers):
            reader.cancel()

    def cut_off(self) -> None:
        """End the session of a guest that does not take what it is told."""
        self.takes_nothing = True
        self.end()

    def make_way(self) -> None:
        """End, since another takes its place."""
        self.replaced = True
        self.news.set()
        self.end()

    def end(self) -> None:
        """Cut the guest's calls."""
        self.ended = True
        self.stop_reading()


class Sessions:
    """All attached guests, by the identity of their connection.

    on_attach: told of the first session of a guest. on_detach: told of its last, when that is over.
    """

    def __init__(self, max_guests: int, clock: Callable[[], float], limits: Limits | None = None) -> None:
        """clock: seconds since the epoch. limits: of one guest, and of one tenant."""
        self.stopping = False
        self.limits = limits or Limits()
        self.company = Company(time.monotonic)
        self.peers: Counter[tuple[str, int]] = Counter()  # of those who are attached: host, port
        self.on_stuck: list[Callable[[str], None]] = []  # told of the peer of one that takes nothing
        self.overs = dict.fromkeys(OVER, 0)
        self.calls = {"calls_unauthenticated": 0, "calls_denied": 0}  # that no service heard of
        self._tenants: defaultdict[int, Tenant] = defaultdict(Tenant)  # as many as the provider made
        # Guest and session, whose Attach has not said Hello yet; the oldest first.
        self.greeting: dict[tuple[str, str], asyncio.Timeout] = {}
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
        self.beside: set[Session] = set()  # that are no guest's: of disk images
        self._max_guests = max_guests
        self._tenant_paces = {name: getattr(self.limits.tenant, name) for name in _TENANT_PACES}
        self._clock = clock
        self._by_guest: dict[str, dict[str, Session]] = {}  # guest -> name -> session, the oldest first
        self._shares = Shares(max_guests, clock)  # of guests that went

    def all(self) -> list[Session]:
        """Every session: guests in the order of attaching, then theirs."""
        return [session for sessions in self._by_guest.values() for session in sessions.values()]

    def by_guest(self) -> list[list[Session]]:
        """The sessions of each guest, what protects it first."""
        return [
            sorted(sessions.values(), key=lambda session: not session.is_daemon)
            for sessions in self._by_guest.values()
        ]

    def of_guest(self, guest_id: str) -> list[Session]:
        """A guest's sessions, the oldest first."""
        return list(self._by_guest.get(guest_id, {}).values())

    def replace_all(self, guest_id: str) -> None:
        """Have a guest's sessions make way, as for one that takes the place of each."""
        for session in self.of_guest(guest_id):
            session.make_way()

    def of(self, guest: Guest, name: str = "") -> Session | None:
        """The guest's session of this name, None where that has no open Attach."""
        return self._by_guest.get(guest.id, {}).get(name)

    @asynccontextmanager
    async def greets(self, guest: Guest, name: str) -> AsyncIterator[None]:
        """Have an Attach counted that has not said Hello yet.

        Raises TooManyGuests where the session has one already, and in the guest's oldest when there are more
        than it may have: those that say nothing do not keep out one that will.
        """
        if (guest.id, name) in self.greeting:
            raise TooManyGuests("this session has an Attach already that has not said Hello: say it there")
        own = [key for key in self.greeting if key[0] == guest.id]
        if len(own) >= self.limits.sessions:
            self.greeting.pop(own[0]).reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(None) as patience:
                self.greeting[guest.id, name] = patience
                yield
        except TimeoutError:
            raise TooManyGuests(
                f"{self.limits.sessions} later Attaches of this guest have not said Hello either: "
                "say it at once"
            ) from None
        finally:
            if self.greeting.get((guest.id, name)) is patience:
                del self.greeting[guest.id, name]

    def attach(self, guest: Guest, labels: Labels, name: str = "", is_daemon: bool = False) -> Session:
        """Open a session; one of the same name, and where it is the daemon's the one before, is replaced.

        A daemon that finds all places of its guest taken gets that of the oldest session.
        Raises TooManyGuests.
        """
        others = self._by_guest.get(guest.id)
        if others is None and len(self._by_guest) >= self._max_guests:
            raise TooManyGuests(
                f"{self._max_guests} guests are attached, which is all that this SVM takes: "
                "raise limits.max_guests, or come back later",
                "limits.max_guests",
            )
        tenant, most = self.tenant(guest), self.limits.tenant.guests
        if others is None and most and tenant.guests >= most:
            raise TooManyGuests(
                f"{most} guests of this tenant are attached, which is all that one may have: "
                "raise limits.tenant.guests, or come back later",
                "limits.tenant.guests",
            )
        session = Session(guest, labels, self._clock(), name, is_daemon)
        if others is not None:
            self._replace(others, session)
        self.counts["attached"] += 1
        self._by_guest.setdefault(guest.id, {})[name] = session
        if others is None:
            session.share = self._shares.come(guest.id)
            tenant.guests += 1
            for listener in self.on_attach:
                listener(session)
        return session

    def _replace(self, others: dict[str, Session], session: Session) -> None:
        """Have those go that the new session of a guest takes the place of. Raises TooManyGuests."""
        going = [
            before
            for before in others.values()
            if before.name == session.name or (session.is_daemon and before.is_daemon)
        ]
        if not going and len(others) >= self.limits.sessions:
            if not session.is_daemon:
                raise TooManyGuests(
                    f"{self.limits.sessions} programs of this guest are attached, which is all that one "
                    "may have: end some of them, or raise limits.sessions"
                )
            going = [next(iter(others.values()))]
        session.share = next(iter(others.values())).share
        for before in going:
            before.make_way()
            del others[before.name]

    def detach(self, session: Session) -> None:
        """Close a session and cut its calls."""
        sessions = self._by_guest.get(session.guest.id, {})
        if sessions.get(session.name) is session:
            del sessions[session.name]
            if not sessions:
                del self._by_guest[session.guest.id]
                self.tenant(session.guest).guests -= 1
                self._shares.leave(session.guest.id, session.share)
                for listener in self.on_detach:
                    listener(session)
        session.end()

    def breach(self, guest: Guest, kind: str, sentence: str) -> None:
        """Note that a guest broke a rule or was refused: a counter, and whoever listens."""
        self.counts["breaches"] += 1
        for listener in self.on_breach:
            listener(guest, kind, sentence)

    def tenant(self, guest: Guest) -> Tenant:
        """What the guest's tenant has."""
        return self._tenants[guest.scope]

    def over(self, bound: str) -> None:
        """Count that somebody was over a bound. bound: the setting."""
        name = counter_of(bound)
        if name in self.overs:
            self.overs[name] += 1

    async def keep_pace(self, session: Session, setting: str, cost: float, kind: str = "") -> None:
        """Return when what a session has sent may be worked on: within its guest's pace and its tenant's.

        setting: of the limits. cost: in its unit. kind: of messages that are counted apart from others.
        """
        guest, clock = session.guest, asyncio.get_running_loop().time
        always = setting not in _BESIDE_OTHERS
        share = cost if always else cost * min(1.0, self.company.others(guest.id) / MANY_OTHERS)
        if share:
            paces, name = session.share.paces, setting + kind
            if name not in paces:
                paces[name] = Pace(getattr(self.limits, setting), clock)
            await self.paced(session, paces[name], share, f"limits.{setting}")
        of_tenant = self._tenant_paces.get(setting)
        if of_tenant and (always or self.company.of_tenant(guest.scope)):
            shared = self.tenant(guest).paces
            if setting not in shared:
                shared[setting] = TenantPace(of_tenant, clock)
            await shared[setting].take(
                guest.id, cost, lambda: self.slowed(session, f"limits.tenant.{setting}")
            )

    async def paced(self, session: Session, pace: Pace, cost: float, bound: str) -> None:
        """Return when a message of the session may be worked on.

        pace: its share's. cost: how many messages it counts as. bound: what an operator knows the pace by.
        """
        beside = self._by_guest.get(session.guest.id, {})
        alone = session.is_daemon or len(beside) == 1
        stands_back = not alone and any(other.is_daemon for other in beside.values())
        await pace.take(cost, stands_back, lambda: self.slowed(session, bound))

    def slowed(self, session: Session, bound: str) -> None:
        """Note that a guest talks too fast and is made to wait: a counter, and now and then a line.

        bound: what it is over, a setting or a sentence's worth of words.
        """
        self.counts["slowed"] += 1
        self.over(bound)
        now, told = self._clock(), session.share.told_slowed
        if bound in told and now - told[bound] < _TELL_SLOWED_SECONDS:
            return
        told[bound] = now
        for listener in self.on_breach:
            listener(
                session.guest, "slowed", f"it sends more than {bound}: it is made to wait, and not cut off"
            )

    def call_refused(self, kind: str, who: str, sentence: str) -> None:
        """Note that a call was ended before its service heard of it. kind: "unauthenticated" or "denied"."""
        self.calls[f"calls_{kind}"] += 1
        for listener in self.on_breach:
            listener(Guest(who), kind, sentence)

    def no_ticket(self, caller: str, sentence: str) -> None:
        """Note that a caller got no ticket, since there are as many as there may be."""
        self.counts["tickets_refused"] += 1
        self.breach(Guest(id=caller), "refused", sentence)

    def too_many_connections(self, who: str, number: int, sentence: str) -> None:
        """Note that so many connections of an address were closed, since it had too many."""
        self.overs[counter_of("limits.connections_per_address")] += number
        self.breach(Guest(id=who), "refused", sentence)

    def door_full(self, bound: str, sentence: str) -> None:
        """Note that a door was found with all connections that it takes: gRPC closes others without a word.

        bound: the setting that says how many.
        """
        self.over(bound)
        for listener in self.on_breach:
            listener(Guest("everybody"), "full", f"{sentence}, others are closed: see {bound}")

    def stop(self) -> None:
        """Take no more from any guest; what was accepted is still answered."""
        self.stopping = True
        for session in (*self.all(), *self.beside):
            session.stop_reading()

    def tell_generation(self) -> None:
        """Have every guest told that the generation moved."""
        for session in self.all():
            session.generation_moved = True
            session.news.set()

    def tell_revoked(self, digest: bytes, concerns: Callable[[Guest], bool] = everybody) -> None:
        """Have every guest that it concerns told that answers about the digest are void."""
        for session in self.all():
            if concerns(session.guest):
                session.revoked.add(digest)
                session.voided += 1
                session.news.set()
