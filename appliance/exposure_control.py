"""What an administrator asks of guests and their files: the port of rpc/exposure_admin.py, over its parts."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from appliance.control import SCOPES, Parts
from appliance.domain.verdict import Verdict
from appliance.rpc.exposure_admin import GuestSeen, HeldFile, HolderView

_HOUR = 3600


class GuestControl:
    """Implements ExposureControl."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._exposure = parts.witness.exposure

    async def holders(self, digest: bytes) -> Sequence[HolderView]:
        """Who holds a digest."""
        here = {session.guest.id for session in self._parts.sessions.all()}
        holders = await self._exposure.holders(digest)
        return [HolderView(each.guest, each.first, each.last, each.guest in here) for each in holders]

    def guests(self) -> Sequence[GuestSeen]:
        """Every guest."""
        here = {session.guest.id: session for session in self._parts.sessions.all()}
        known = {guest.name: guest for guest, _ in self._exposure.guests()}
        attached = [
            GuestSeen(
                name,
                True,
                session.labels.host_name,
                known[name].first * _HOUR if name in known else int(session.attached_at),
                known[name].last * _HOUR if name in known else int(session.attached_at),
                known[name].files if name in known else 0,
            )
            for name, session in here.items()
        ]
        away = [
            GuestSeen(name, False, "", guest.first * _HOUR, guest.last * _HOUR, guest.files)
            for name, guest in known.items()
            if name not in here
        ]
        return self._with_certificates([*attached, *away])

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

    def knows(self, guest: str) -> bool:
        """Whether a guest is, or was, here."""
        return self._exposure.knows(guest)

    def files(self, guest: str) -> AsyncIterator[Sequence[HeldFile]]:
        """What a guest holds."""
        return self._exposure.files_of(guest)

    def words(self, digests: Sequence[bytes]) -> Sequence[Verdict | None]:
        """What is known of digests: overrides, then the worst of all scopes, of whatever generation."""
        worst: list[Verdict | None] = [None] * len(digests)
        for scope in SCOPES:
            for index, verdict in enumerate(self._parts.store.lookup(scope, digests)):
                before = worst[index]
                if verdict is not None and (before is None or verdict.disposition < before.disposition):
                    worst[index] = verdict
        overrides = self._parts.protection.overrides
        return [overrides.answer(digest) or word for digest, word in zip(digests, worst, strict=True)]
