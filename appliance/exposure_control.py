"""What an administrator asks of guests and their files: the port of rpc/exposure_admin.py, over its parts."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from appliance.control import Parts
from appliance.domain.verdict import Verdict
from appliance.rpc.exposure_admin import GuestSeen, HeldFile, HolderView

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

    def guests(self, tenant: str) -> Sequence[GuestSeen]:
        """Every guest."""
        here = {session.guest.id: session for session in self._parts.sessions.all()}
        known = {guest.name: guest for guest, _ in self._exposure.guests()}
        seen = []
        for name, session in here.items():
            guest, whose, since = known.get(name), session.guest.tenant, int(session.attached_at)
            host_name = session.labels.host_name
            if guest is None or guest.tenant != whose:
                seen.append(GuestSeen(name, True, host_name, since, since, 0, whose))
            else:
                first, last = guest.first * _HOUR, guest.last * _HOUR
                seen.append(GuestSeen(name, True, host_name, first, last, guest.files, whose))
        seen += [
            GuestSeen(name, False, "", guest.first * _HOUR, guest.last * _HOUR, guest.files, guest.tenant)
            for name, guest in known.items()
            if name not in here
        ]
        return [guest for guest in self._with_certificates(seen) if tenant in ("", guest.tenant)]

    def _with_certificates(self, seen: Sequence[GuestSeen]) -> list[GuestSeen]:
        """The same with what the register knows of each, then those that enrolled and were never here."""
        if self._parts.identity is None:
            return list(seen)
        now = self._parts.witness.log.now()
        enrolled = {guest.uuid: (guest, shown) for guest, shown in self._parts.identity.registry.guests()}
        found = []
        for each in (*seen, *(GuestSeen(uuid, False, "", 0, 0, 0) for uuid in enrolled)):
            guest, shown = enrolled.pop(each.guest, (None, None))
            if guest is None:
                if each.last:
                    found.append(each)
                continue
            state = "expired" if shown is None else shown.state(now)
            ends = 0 if shown is None else int(shown.ends_at)
            name = each.host_name or guest.host_name
            found.append(
                replace(each, host_name=name, tenant=guest.tenant, certificate=state, certificate_ends=ends)
            )
        return found

    def tenant_of(self, guest: str) -> str | None:
        """Whose guest it is."""
        return self._exposure.tenant_of(guest)

    def files(self, guest: str, tenant: str) -> AsyncIterator[Sequence[HeldFile]]:
        """What a guest holds."""
        return self._exposure.files_of(guest, tenant)

    def words(self, digests: Sequence[bytes], tenant: str) -> Sequence[Verdict | None]:
        """What is known of digests: overrides, then the worst that the tenant sees, of any generation."""
        return self._parts.sight.words(tenant, digests)
