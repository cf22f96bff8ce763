"""The Administration service: an administrator's requests, checked, handed to the port `Control`.

The service knows the wire and its rules; what is done with a request is Control's affair, which the
composition implements over the parts of the SVM.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from lightagent.v1 import admin_pb2, admin_pb2_grpc

from appliance.domain.caller import Caller
from appliance.domain.override import MAX_REASON_BYTES, Override
from appliance.rpc.admin_calls import (
    BadRequest,
    CallerOf,
    ControlRefused,
    answered,
    checked_digest,
    checked_limit,
    tenant_of,
)
from appliance.rpc.admin_turns import Turns
from appliance.rpc.admin_views import (
    StatusView,
    VerdictView,
    audit_message,
    guest_message,
    override_message,
    source_messages,
    status_reply,
    verdict_reply,
)
from appliance.scanning.result import SignatureSource
from appliance.state.store import AuditEntry

__all__ = ["AdministrationService", "Control", "ControlRefused"]

DEFAULT_AUDIT_ENTRIES = 100
MAX_AUDIT_ENTRIES = 1000
_END_OF_TIME = 253_402_300_799  # the last second of the year 9999, where Timestamp ends


class Control(Protocol):
    """What the SVM does for an administrator. Every change is durable and in force when its call returns.

    tenant: whose things it is about, "" for all. One that nobody knows is ControlRefused where it matters.
    """

    def status(self, tenant: str) -> StatusView:
        """What the SVM is doing, with the guests that are a tenant's."""

    def figures(self, tenant: str) -> dict[str, float]:
        """Named figures, the same as in /metrics; of one tenant its own."""

    def verdict(self, digest: bytes, tenant: str) -> VerdictView:
        """What is known of a digest of 32 bytes, as the tenant's guests see it."""

    async def set_override(self, digest: bytes, override: Override, tenant: str) -> None:
        """Put an override in force and into the audit, or raise ControlRefused. "": it is for everybody."""

    async def clear(self, digest: bytes, reason: str, actor: str, tenant: str) -> bool:
        """End the override and forget the verdicts of a digest; whether there were any. Or ControlRefused.

        "" ends what counts for everybody, and forgets the verdicts of all.
        """

    def audit(self, limit: int, tenant: str) -> Iterator[AuditEntry]:
        """The newest `limit` changes, the newest first, each read when it is its turn."""

    def generation(self) -> int:
        """Of the signatures in use."""

    def sources(self) -> Sequence[SignatureSource]:
        """The signature sources in use."""

    async def reload(self, actor: str) -> tuple[int, int]:
        """Read the sources anew; the generations before and after. Raises ControlRefused: old ones stay."""


class AdministrationService(admin_pb2_grpc.AdministrationServicer):
    """Serves administrators, each what is his to see."""

    def __init__(
        self,
        control: Control,
        caller: CallerOf,
        clock: Callable[[], float],
        turns: Turns | None = None,
    ) -> None:
        """caller: who calls; ends the call itself where nobody vouches. clock: seconds since the epoch."""
        self.caller = caller
        self.turns = turns or Turns()
        self._control = control
        self._clock = clock

    @answered
    async def GetStatus(
        self, _request: admin_pb2.GetStatusRequest, caller: Caller
    ) -> admin_pb2.GetStatusReply:
        """Answer what the SVM is doing."""
        view = self._control.status(caller.tenant)
        reply = status_reply(view, self._control.figures(caller.tenant))
        await self.turns.each(view.guests, lambda guest: reply.guests.append(guest_message(guest)))
        return reply

    @answered
    async def GetVerdict(
        self, request: admin_pb2.GetVerdictRequest, caller: Caller
    ) -> admin_pb2.GetVerdictReply:
        """Answer what is known of a digest."""
        digest = checked_digest(request.sha256)
        return verdict_reply(self._control.verdict(digest, tenant_of(caller, request.tenant)), caller)

    @answered
    async def SetOverride(
        self, request: admin_pb2.SetOverrideRequest, caller: Caller
    ) -> admin_pb2.SetOverrideReply:
        """Allow or block a digest."""
        digest, now = checked_digest(request.sha256), self._clock()
        tenant = tenant_of(caller, request.tenant)
        expires_at = 0
        if request.HasField("expires"):
            expires_at = request.expires.seconds
            if not now < expires_at <= _END_OF_TIME:
                raise BadRequest("expires does not lie in the future: give a later time, or none for no end")
        override = Override(request.allow, _reason(request.reason, 1), caller.author, int(now), expires_at)
        await self._control.set_override(digest, override, tenant)
        return admin_pb2.SetOverrideReply(override=override_message(override, tenant))

    @answered
    async def ClearVerdict(
        self, request: admin_pb2.ClearVerdictRequest, caller: Caller
    ) -> admin_pb2.ClearVerdictReply:
        """Take back an override and forget the verdict."""
        digest, reason = checked_digest(request.sha256), _reason(request.reason, 0)
        tenant = tenant_of(caller, request.tenant)
        cleared = await self._control.clear(digest, reason, caller.author, tenant)
        return admin_pb2.ClearVerdictReply(cleared=cleared)

    @answered
    async def ListAudit(
        self, request: admin_pb2.ListAuditRequest, caller: Caller
    ) -> admin_pb2.ListAuditReply:
        """Answer what administrators changed."""
        limit = checked_limit(request.limit, DEFAULT_AUDIT_ENTRIES, MAX_AUDIT_ENTRIES)
        entries = self._control.audit(limit, tenant_of(caller, request.tenant))
        reply = admin_pb2.ListAuditReply()
        await self.turns.each(entries, lambda entry: reply.entries.append(audit_message(entry)))
        return reply

    @answered
    async def ListSignatures(
        self, _request: admin_pb2.ListSignaturesRequest, _caller: Caller
    ) -> admin_pb2.ListSignaturesReply:
        """Answer which sources are in use."""
        return admin_pb2.ListSignaturesReply(
            generation=self._control.generation(), sources=source_messages(self._control.sources())
        )

    @answered
    async def ReloadSignatures(
        self, _request: admin_pb2.ReloadSignaturesRequest, caller: Caller
    ) -> admin_pb2.ReloadSignaturesReply:
        """Read the sources anew."""
        before, after = await self._control.reload(caller.author)
        sources = source_messages(self._control.sources())
        return admin_pb2.ReloadSignaturesReply(generation_before=before, generation=after, sources=sources)


def _reason(text: str, least: int) -> str:
    """Return a reason of the right length, without the blanks around it."""
    reason = text.strip()
    size = len(reason.encode())
    if not least <= size <= MAX_REASON_BYTES:
        raise BadRequest(f"reason has {size} bytes: give {least} to {MAX_REASON_BYTES}")
    return reason
