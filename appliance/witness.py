"""What of the SVM's parts becomes an event: it listens to them, and none of them knows of it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from appliance.domain.event import MAX_GUESTS_NAMED, MAX_TEXT_BYTES, Event, EventKind
from appliance.domain.guest import PUBLIC_SCOPE, Guest
from appliance.domain.override import Override
from appliance.domain.policy import Decision, Policy
from appliance.domain.scan import ScanOrder, shown_paths, told_counts
from appliance.domain.verdict import Verdict
from appliance.events.detections import Detections
from appliance.events.log import EventLog
from appliance.events.outbreak import Outbreaks, OutbreakTerms
from appliance.identity.registry import IdentityChange
from appliance.protection import Protection
from appliance.rpc.sessions import Session, Sessions
from appliance.scanning.scanner import Scanner
from appliance.verdicts.exposure import Exposure

MOST_REVOKED = 4096  # revocations for which it is looked up who holds the digest; of more it is not
NAMED_SECONDS = (
    1.0  # that a revocation may wait for it: until it is written down, a restart knows nothing of it
)

_Revoked = tuple[bytes, str, int, float]  # digest, why, scope, and until when the guests are looked up


class Witness:
    """Notes what happens in `log`; `run` is to run. exposure: which guests hold a digest."""

    def __init__(
        self,
        log: EventLog,
        exposure: Exposure,
        terms: OutbreakTerms,
        monotonic: Callable[[], float],
    ) -> None:
        """monotonic: seconds that never go back."""
        self.log = log
        self.exposure = exposure
        self._monotonic = monotonic
        self._revoked: deque[_Revoked] = deque()
        self._any_revoked = asyncio.Event()
        self._detections = Detections(monotonic)
        self._outbreaks = Outbreaks(terms, monotonic)
        log.on_kept.append(self._kept)

    def watch(self, sessions: Sessions, protection: Protection, scanner: Scanner) -> None:
        """Note what these do from now on."""
        sessions.on_attach.append(self._attached)
        sessions.on_detach.append(self._detached)
        protection.on_told.append(self._told)
        protection.on_changed.append(self._changed)
        scanner.on_generation.append(self._generation)

    async def run(self) -> None:
        """Note revocations with the guests that hold the digest, until cancelled."""
        while True:
            await self._any_revoked.wait()
            self._any_revoked.clear()
            while self._revoked:
                digest, text, scope, until = self._revoked.popleft()
                guests: tuple[str, ...] = ()
                try:
                    if self._monotonic() < until:
                        guests = tuple(holder.guest for holder in await self.exposure.holders(digest))
                finally:  # also where the SVM stops meanwhile: a restart is to know of it
                    self._note_revoked(digest, text, scope, guests)

    async def restore(self, protection: Protection, seconds: float) -> None:
        """Have guests that were away told of what was revoked within so many seconds, before a start too."""
        for event in await asyncio.to_thread(self.log.store.revoked, self.log.now() - seconds):
            protection.restore_change(event.scope, event.sha256)

    def started(self, version: str) -> None:
        """The SVM serves."""
        self._note(EventKind.SVM_START, text=f"version {version}")

    def stopping(self) -> None:
        """The SVM was told to stop."""
        self._note(EventKind.SVM_STOP)
        while self._revoked:
            self._note_revoked(*self._revoked.popleft()[:3], ())

    def overridden(self, digest: bytes, override: Override) -> None:
        """An override is in force."""
        word = "allowed" if override.allow else "blocked"
        self._note(EventKind.OVERRIDE, digest, text=f"{word}: {override.reason}", actor=override.author)
        self._revoke(digest, f"{word} by an administrator")

    def cleared(self, digest: bytes, reason: str, actor: str) -> None:
        """An override was taken back, and the verdict forgotten."""
        self._note(
            EventKind.OVERRIDE, digest, text=f"cleared: {reason}" if reason else "cleared", actor=actor
        )
        self._revoke(digest, "an administrator cleared what was known")

    def override_ended(self, digest: bytes) -> None:
        """The time of an override is over."""
        self._note(EventKind.OVERRIDE, digest, text="ended by its own time")
        self._revoke(digest, "an override ended")

    def policy_changed(self, policy: Policy, actor: str) -> None:
        """A policy is in force."""
        latest = max(policy.decided.values(), key=lambda consent: consent.number, default=None)
        decided = "declined" if latest is None or latest.decision is Decision.DECLINE else "accepted"
        active = "active" if policy.active else "not active"
        text = f"tenant {policy.tenant}: {active}, KSN {decided}, {policy.mode.name.lower()} mode"
        self._note(EventKind.POLICY, text=text, actor=actor)

    def identity_changed(self, change: IdentityChange) -> None:
        """Who is who has changed, or a guest's certificate was shown where it does not belong."""
        copied = change.kind in ("cloned", "other_machine")
        kind = EventKind.CLONE if copied else EventKind.IDENTITY
        text = change.text if copied else f"{change.kind}: {change.text}".removesuffix(": ")
        self._note(kind, text=text, guest=change.guest, actor=change.actor)

    def scans_ordered(self, orders: Sequence[ScanOrder]) -> None:
        """Scans of guests were ordered, all by the same administrator and alike."""
        first = orders[0]
        text = shown_paths(first.paths)
        if first.due_at > first.ordered_at:
            text = f"{text}; to begin {datetime.fromtimestamp(first.due_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        guests = tuple(order.guest for order in orders)
        named, one = guests[:MAX_GUESTS_NAMED], guests[0] if len(guests) == 1 else ""
        self.log.note(
            Event(
                self.log.now(),
                EventKind.SCAN_ORDER,
                guest=one,
                text=_cut(text),
                actor=first.actor,
                count=0 if one else len(guests),
                guests=() if one else named,
            )
        )

    def scan_ended(self, order: ScanOrder) -> None:
        """A scan that was ordered is over."""
        text = f"{order.state}: {told_counts(order.counts)}{'; ' if order.text else ''}{order.text}"
        self._note(EventKind.SCAN_END, guest=order.guest, text=text)

    def _generation(self, generation: int) -> None:
        self._note(EventKind.GENERATION, text=f"{generation:016x} is in use")

    def _detached(self, session: Session) -> None:
        self.exposure.detached(session.guest.id)
        self._note(EventKind.DETACH, guest=session.guest.id)

    def _attached(self, session: Session) -> None:
        session.share.gatherer = self.exposure.attached(session.guest.id)
        labels = session.labels
        text = ", ".join(filter(None, (labels.host_name, labels.os, labels.stub_version)))
        self._note(EventKind.ATTACH, guest=session.guest.id, text=text)

    def _told(self, guest: Guest, digest: bytes, verdict: Verdict) -> None:
        """A guest is told of a detection: an event where it is news."""
        if not self._detections.is_news(guest.id, digest):
            return
        where = f", inside {verdict.member}" if verdict.member else ""
        text = f"{verdict.disposition.name.lower()}, by {verdict.engine or verdict.source.name}{where}"
        if self._note(EventKind.DETECTION, digest, verdict.threat, guest.id, text):
            self._detections.noted(guest.id, digest, verdict.threat)
            self._count(verdict.threat, guest.id)

    def _kept(self, _number: int, event: Event) -> None:
        """A guest says it met one more file with a threat that this SVM has named."""
        if event.kind is EventKind.DETECTION and event.said is not None:
            threat = self._detections.reported(event.guest, event.sha256, event.said.path)
            if threat:
                self._count(threat, event.guest)

    def _count(self, threat: str, guest_id: str) -> None:
        guests = self._outbreaks.seen(threat, guest_id)
        if guests:
            terms = self._outbreaks.terms
            text = f"{terms.detections} detections of it within {terms.seconds / 60:g} minutes"
            self._note_for(EventKind.OUTBREAK, guests, threat=threat, text=text)

    def _changed(self, scope: int, digest: bytes, _concerns: Callable[[Guest], bool]) -> None:
        self._revoke(digest, "another answer counts now", scope)

    def _revoke(self, digest: bytes, text: str, scope: int = PUBLIC_SCOPE) -> None:
        """Answers about a digest do not count any more. scope: where they were seen; public: everywhere."""
        if len(self._revoked) >= MOST_REVOKED:
            self._note_revoked(digest, text, scope, ())
            return
        self._revoked.append((digest, text, scope, self._monotonic() + NAMED_SECONDS))
        self._any_revoked.set()

    def _note_revoked(self, digest: bytes, text: str, scope: int, guests: tuple[str, ...]) -> None:
        self.log.note(
            Event(
                self.log.now(),
                EventKind.REVOCATION,
                sha256=digest,
                text=text,
                count=len(guests),
                guests=guests[:MAX_GUESTS_NAMED],
                scope=scope,
            )
        )

    def _note_for(self, kind: EventKind, guests: tuple[str, ...], threat: str = "", text: str = "") -> None:
        named = guests[:MAX_GUESTS_NAMED]
        self.log.note(Event(self.log.now(), kind, threat=threat, text=text, count=len(guests), guests=named))

    def _note(  # each is a field of the event
        self,
        kind: EventKind,
        digest: bytes = b"",
        threat: str = "",
        guest: str = "",
        text: str = "",
        actor: str = "",
    ) -> bool:
        return self.log.note(Event(self.log.now(), kind, guest, digest, threat, _cut(text), actor))


def _cut(text: str) -> str:
    return text.encode(errors="replace")[:MAX_TEXT_BYTES].decode(errors="ignore")
