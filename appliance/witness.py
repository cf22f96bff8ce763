"""What of the SVM's parts becomes an event: it listens to them, and none of them knows of it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from appliance.domain.event import MAX_GUESTS_NAMED, MAX_TEXT_BYTES, Event, EventKind
from appliance.domain.guest import Guest
from appliance.domain.image import ImageCounts, ImageScan, is_image
from appliance.domain.override import Override
from appliance.domain.policy import Decision, Policy
from appliance.domain.scan import ScanOrder, by_tenant, shown_paths, told_counts
from appliance.domain.tenants import EVERYBODY, Realm
from appliance.domain.times import utc
from appliance.domain.verdict import Verdict
from appliance.events.detections import Detections
from appliance.events.log import EventLog
from appliance.events.outbreak import Outbreaks, OutbreakTerms
from appliance.identity.registry import IdentityChange
from appliance.inventory.watch import VmEvent
from appliance.protection import Protection
from appliance.rpc.sessions import Session, Sessions
from appliance.scanning.scanner import Scanner
from appliance.verdicts.exposure import Exposure

MOST_REVOKED = 4096  # revocations for which it is looked up who holds the digest; of more it is not
MOST_VOUCHED = (
    4096  # enrolments by a host's word that are known to be noted: one is told again if its answer was lost
)
NAMED_SECONDS = (
    1.0  # that a revocation may wait for it: until it is written down, a restart knows nothing of it
)

_MOST_COUNTED = 2**32 - 1  # what the wire has room for

_Revoked = tuple[bytes, str, Realm, float]  # digest, why, for whom, and until when the guests are looked up


class Witness:
    """Notes what happens in `log`; `run` is to run. exposure: which guests hold a digest."""

    def __init__(
        self,
        log: EventLog,
        exposure: Exposure,
        terms: OutbreakTerms,
        monotonic: Callable[[], float],
        tenant_of: Callable[[int], str],
    ) -> None:
        """monotonic: seconds that never go back. tenant_of: whose a scope is, "" where it is no tenant's."""
        self.log = log
        self.exposure = exposure
        self._tenant_of = tenant_of
        self._monotonic = monotonic
        self._revoked: deque[_Revoked] = deque()
        self._any_revoked = asyncio.Event()
        self._vouched: dict[bytes, None] = {}  # certificates, the newest last
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
                digest, text, realm, until = self._revoked.popleft()
                guests: tuple[str, ...] = ()
                try:
                    if self._monotonic() < until:
                        holders = await self.exposure.holders(digest, realm.tenant)
                        guests = tuple(holder.guest for holder in holders)
                finally:  # also where the SVM stops meanwhile: a restart is to know of it
                    self._note_revoked(digest, text, realm, guests)

    async def restore(self, protection: Protection, seconds: float) -> None:
        """Have guests that were away told of what was revoked within so many seconds, before a start too."""
        for event in await asyncio.to_thread(self.log.store.revoked, self.log.now() - seconds):
            protection.restore_change(event.scope, event.sha256)

    def started(self, version: str) -> None:
        """The SVM serves."""
        self._note(Event(self.log.now(), EventKind.SVM_START, text=f"version {version}"))

    def stopping(self) -> None:
        """The SVM was told to stop."""
        self._note(Event(self.log.now(), EventKind.SVM_STOP))
        while self._revoked:
            self._note_revoked(*self._revoked.popleft()[:3], ())

    def overridden(self, digest: bytes, override: Override, realm: Realm) -> None:
        """An override is in force."""
        word = "allowed" if override.allow else "blocked"
        self._note(
            Event(
                self.log.now(),
                EventKind.OVERRIDE,
                sha256=digest,
                text=f"{word}: {override.reason}",
                actor=override.author,
                tenant=realm.tenant,
            )
        )
        self._revoke(digest, f"{word} by an administrator", realm)

    def cleared(self, digest: bytes, reason: str, actor: str, realm: Realm) -> None:
        """An override was taken back, and the verdict forgotten."""
        text = f"cleared: {reason}" if reason else "cleared"
        self._note(
            Event(
                self.log.now(),
                EventKind.OVERRIDE,
                sha256=digest,
                text=text,
                actor=actor,
                tenant=realm.tenant,
            )
        )
        self._revoke(digest, "an administrator cleared what was known", realm)

    def override_ended(self, scope: int, digest: bytes) -> None:
        """The time of an override is over. scope: for whom it counted."""
        realm, text = Realm(scope, self._tenant_of(scope)), "ended by its own time"
        self._note(Event(self.log.now(), EventKind.OVERRIDE, sha256=digest, text=text, tenant=realm.tenant))
        self._revoke(digest, "an override ended", realm)

    def policy_changed(self, policy: Policy, actor: str) -> None:
        """A policy is in force."""
        latest = max(policy.decided.values(), key=lambda consent: consent.number, default=None)
        decided = "declined" if latest is None or latest.decision is Decision.DECLINE else "accepted"
        active = "active" if policy.active else "not active"
        text = f"tenant {policy.tenant}: {active}, KSN {decided}, {policy.mode.name.lower()} mode"
        self._note(Event(self.log.now(), EventKind.POLICY, text=text, actor=actor, tenant=policy.tenant))

    def identity_changed(self, change: IdentityChange) -> None:
        """Who is who has changed, or a guest's certificate was shown where it does not belong."""
        copied = change.kind in ("cloned", "other_machine")
        kind = EventKind.CLONE if copied else EventKind.IDENTITY
        text = change.text if copied else f"{change.kind}: {change.text}".removesuffix(": ")
        self._note(
            Event(
                self.log.now(),
                kind,
                change.guest,
                text=text,
                actor=change.actor,
                tenant=change.tenant,
            )
        )
        if change.vouched_by and change.certificate not in self._vouched:
            self._vm_enrolled(change)

    def _vm_enrolled(self, change: IdentityChange) -> None:
        """A machine has its certificate by its host's word."""
        text = f"enrolled by its host's word{', as ' if change.text else ''}{change.text}"
        now, kind = self.log.now(), EventKind.VM_ENROLLED
        event = Event(now, kind, change.guest, text=text, actor=change.vouched_by, tenant=change.tenant)
        if self._note(event):
            self._vouched[change.certificate] = None
            if len(self._vouched) > MOST_VOUCHED:
                del self._vouched[next(iter(self._vouched))]

    def vm_changed(self, event: VmEvent) -> None:
        """A machine is left unprotected, or is protected again."""
        self._note(_of_vm(event, self.log.now()))

    async def vm_told(self, event: VmEvent) -> None:
        """A host agent has done something to a machine; returns when the event is on the disk."""
        await self.log.keep_own(_of_vm(event, self.log.now()))

    def scans_ordered(self, orders: Sequence[ScanOrder]) -> None:
        """Scans of guests were ordered, all by the same administrator and alike."""
        for mine in by_tenant(orders).values():
            self._scans_of_tenant_ordered(mine)

    def _scans_of_tenant_ordered(self, orders: Sequence[ScanOrder]) -> None:
        first = orders[0]
        text = shown_paths(first.paths)
        if first.due_at > first.ordered_at:
            text = f"{text}; to begin {utc(first.due_at)}"
        guests = tuple(order.guest for order in orders)
        named, one = guests[:MAX_GUESTS_NAMED], guests[0] if len(guests) == 1 else ""
        self._note(
            Event(
                self.log.now(),
                EventKind.SCAN_ORDER,
                guest=one,
                text=text,
                actor=first.actor,
                count=0 if one else len(guests),
                guests=() if one else named,
                tenant=first.tenant,
            )
        )

    def scan_ended(self, order: ScanOrder) -> None:
        """A scan that was ordered is over."""
        text = f"{order.state}: {told_counts(order.counts)}{'; ' if order.text else ''}{order.text}"
        self._note(Event(self.log.now(), EventKind.SCAN_END, order.guest, text=text, tenant=order.tenant))

    def image_found(self, scan: ImageScan, digest: bytes, verdict: Verdict, path: bytes) -> None:
        """A malicious or suspicious file lies on a disk image."""
        where = path.decode(errors="replace") + (f", inside {verdict.member}" if verdict.member else "")
        self._note(
            Event(
                self.log.now(),
                EventKind.IMAGE_DETECTION,
                scan.machine,
                digest,
                verdict.threat,
                f"{verdict.disposition.name.lower()}, in {scan.label}: {where}",
                scan.actor,
                tenant=scan.tenant,
            )
        )

    def image_scanned(self, scan: ImageScan, counts: ImageCounts, complete: bool, text: str) -> None:
        """A scan of a disk image is over."""
        end = "all of it" if complete else "not all of it"
        said = f"{scan.label}: {end}{f' ({text})' if text else ''}; {counts}"
        self._note(
            Event(
                self.log.now(),
                EventKind.IMAGE_SCANNED,
                scan.machine,
                text=said,
                actor=scan.actor,
                count=min(counts.malicious + counts.suspicious, _MOST_COUNTED),
                tenant=scan.tenant,
            )
        )

    def _generation(self, generation: int) -> None:
        self._note(Event(self.log.now(), EventKind.GENERATION, text=f"{generation:016x} is in use"))

    def _detached(self, session: Session) -> None:
        guest = session.guest
        self.exposure.detached(guest.id)
        self._note(Event(self.log.now(), EventKind.DETACH, guest.id, tenant=guest.tenant))

    def _attached(self, session: Session) -> None:
        guest = session.guest
        session.share.gatherer = self.exposure.attached(guest.id, guest.tenant)
        labels = session.labels
        text = ", ".join(filter(None, (labels.host_name, labels.os, labels.stub_version)))
        self._note(Event(self.log.now(), EventKind.ATTACH, guest.id, text=text, tenant=guest.tenant))

    def _told(self, guest: Guest, digest: bytes, verdict: Verdict) -> None:
        """A guest is told of a detection: an event where it is news. Of images see `image_found`."""
        if is_image(guest.id):
            return
        if not self._detections.is_news(guest.id, digest):
            return
        where = f", inside {verdict.member}" if verdict.member else ""
        text = f"{verdict.disposition.name.lower()}, by {verdict.engine or verdict.source.name}{where}"
        event = Event(
            self.log.now(),
            EventKind.DETECTION,
            guest.id,
            digest,
            verdict.threat,
            text,
            tenant=guest.tenant,
        )
        if self._note(event):
            self._detections.noted(guest.id, digest, verdict.threat)
            self._count(verdict.threat, guest.id, guest.tenant)

    def _kept(self, _number: int, event: Event) -> None:
        """A guest says it met one more file with a threat that this SVM has named."""
        if event.kind is EventKind.DETECTION and event.said is not None:
            threat = self._detections.reported(event.guest, event.sha256, event.said.path)
            if threat:
                self._count(threat, event.guest, event.tenant)

    def _count(self, threat: str, guest_id: str, tenant: str) -> None:
        """Note an outbreak among a tenant's guests, and one that is in other tenants' guests as well."""
        guests = self._outbreaks.seen(threat, guest_id, tenant)
        if guests:
            self._note_outbreak(threat, guests, tenant)
        everywhere = self._outbreaks.seen(threat, guest_id)
        if len(everywhere) > self._outbreaks.spread(threat, tenant):
            self._note_outbreak(threat, everywhere, "")

    def _note_outbreak(self, threat: str, guests: tuple[str, ...], tenant: str) -> None:
        terms = self._outbreaks.terms
        text = f"{terms.detections} detections of it within {terms.seconds / 60:g} minutes"
        self._note(
            Event(
                self.log.now(),
                EventKind.OUTBREAK,
                threat=threat,
                text=text,
                count=len(guests),
                guests=guests[:MAX_GUESTS_NAMED],
                tenant=tenant,
            )
        )

    def _changed(self, scope: int, digest: bytes, _concerns: Callable[[Guest], bool]) -> None:
        self._revoke(digest, "another answer counts now", Realm(scope, self._tenant_of(scope)))

    def _revoke(self, digest: bytes, text: str, realm: Realm = EVERYBODY) -> None:
        """Answers about a digest do not count any more. realm: for whom they did."""
        if len(self._revoked) >= MOST_REVOKED:
            self._note_revoked(digest, text, realm, ())
            return
        self._revoked.append((digest, text, realm, self._monotonic() + NAMED_SECONDS))
        self._any_revoked.set()

    def _note_revoked(self, digest: bytes, text: str, realm: Realm, guests: tuple[str, ...]) -> None:
        self.log.note(
            Event(
                self.log.now(),
                EventKind.REVOCATION,
                sha256=digest,
                text=text,
                count=len(guests),
                guests=guests[:MAX_GUESTS_NAMED],
                scope=realm.scope,
                tenant=realm.tenant,
            )
        )

    def _note(self, event: Event) -> bool:
        return self.log.note(replace(event, text=_cut(event.text)))


def _of_vm(event: VmEvent, now: float) -> Event:
    uuid = event.view.placed.vm.uuid
    return Event(now, event.kind, uuid, text=_cut(event.text), actor=event.actor, tenant=event.view.tenant)


def _cut(text: str) -> str:
    return text.encode(errors="replace")[:MAX_TEXT_BYTES].decode(errors="ignore")
