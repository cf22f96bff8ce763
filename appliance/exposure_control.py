"""What an administrator asks of guests and their files: the port of rpc/exposure_admin.py, over its parts."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

from appliance.control import Parts
from appliance.domain.identity import EnrolledGuest
from appliance.domain.verdict import Verdict
from appliance.rpc.exposure_admin import GuestSeen, HeldFile, HolderView
from appliance.rpc.sessions import Session
from appliance.verdicts.known_guests import KnownGuest

_HOUR = 3600


class GuestControl:
    """Implements ExposureControl."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._exposure = parts.witness.exposure

    async def holders(self, digest: bytes, tenant: str) -> Sequence[HolderView]:
        """Who holds a digest."""
        here = {session.guest.id for session in self._parts.sessions.all()}
        holders = await self._exposure.holders(digest, tenant)
        return [
            HolderView(each.guest, each.first, each.last, each.guest in here, each.tenant) for each in holders
        ]

    def guests(self, tenant: str) -> Iterator[GuestSeen]:
        """Every guest: those that are attached, those that were here, those that enrolled and never were."""
        here = {
            session.guest.id: session
            for session in self._parts.sessions.all()
            if tenant in ("", session.guest.tenant)
        }
        away = [each for each in self._exposure.guests(tenant) if each.name not in here]
        shown = set()
        for each in (*map(self._attached, here.values()), *map(_away, away)):
            guest = self._with_certificate(each)
            if tenant in ("", guest.tenant):
                shown.add(guest.guest)
                yield guest
        for enrolled in self._enrolled(tenant):
            if enrolled.uuid not in shown:
                yield self._with_certificate(GuestSeen(enrolled.uuid, False, "", 0, 0, 0), enrolled)

    def _attached(self, session: Session) -> GuestSeen:
        """A guest that is here, by what it has said and what is known of it since longer."""
        name, whose, since = session.guest.id, session.guest.tenant, int(session.attached_at)
        guest, host_name = self._exposure.guest(name), session.labels.host_name
        if guest is None or guest.tenant != whose:
            return GuestSeen(name, True, host_name, since, since, 0, whose)
        return GuestSeen(name, True, host_name, guest.first * _HOUR, guest.last * _HOUR, guest.files, whose)

    def _enrolled(self, tenant: str) -> Iterator[EnrolledGuest]:
        identity = self._parts.identity
        return iter(()) if identity is None else identity.registry.guests(tenant)

    def _with_certificate(self, seen: GuestSeen, enrolled: EnrolledGuest | None = None) -> GuestSeen:
        """The same with what the register knows of it. enrolled: where that is known already."""
        if self._parts.identity is None:
            return seen
        registry, now = self._parts.identity.registry, self._parts.witness.log.now()
        guest = enrolled or registry.guest_known(seen.guest)
        if guest is None:
            return seen
        shown = registry.shown_by(guest)
        return replace(
            seen,
            host_name=seen.host_name or guest.host_name,
            tenant=guest.tenant,
            certificate="expired" if shown is None else shown.state(now),
            certificate_ends=0 if shown is None else int(shown.ends_at),
        )

    def tenant_of(self, guest: str) -> str | None:
        """Whose guest it is."""
        return self._exposure.tenant_of(guest)

    def files(self, guest: str, tenant: str) -> AsyncIterator[Sequence[HeldFile]]:
        """What a guest holds."""
        return self._exposure.files_of(guest, tenant)

    def words(self, digests: Sequence[bytes], tenant: str) -> Sequence[Verdict | None]:
        """What is known of digests: overrides, then the worst that the tenant sees, of any generation."""
        return self._parts.sight.words(tenant, digests)


def _away(guest: KnownGuest) -> GuestSeen:
    return GuestSeen(
        guest.name, False, "", guest.first * _HOUR, guest.last * _HOUR, guest.files, guest.tenant
    )
