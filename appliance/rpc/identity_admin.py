"""The IdentityAdministration service: tokens, guests that enrolled, certificates, for administrators.

Who administers one tenant sees and touches that tenant's. The register itself holds that for what is changed;
here it is held for what is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from google.protobuf.timestamp_pb2 import Timestamp
from lightagent.v1 import identity_pb2, identity_pb2_grpc

from appliance.domain.caller import Caller, Role
from appliance.domain.identity import BEGINNING_BYTES, MAX_REASON_BYTES, Certificate, EnrolledGuest, Token
from appliance.domain.policy import DEFAULT_TENANT
from appliance.identity.authority import AuthorityUnusable
from appliance.identity.ending import By
from appliance.identity.issuing import (
    LEAST_TOKEN_SECONDS,
    MOST_TOKEN_SECONDS,
    USUAL_TOKEN_SECONDS,
    IdentityRefused,
    Only,
)
from appliance.identity.keys import BadCsr
from appliance.identity.names import BadName
from appliance.identity.registry import Registry
from appliance.rpc.admin_calls import (
    BadRequest,
    CallerOf,
    ControlRefused,
    answered,
    checked_limit,
    ending,
    tenant_of,
)
from appliance.rpc.admin_turns import Turns
from appliance.state.environment import StateError

DEFAULT_CERTIFICATES, MAX_CERTIFICATES = 1000, 16_384
DEFAULT_TOKENS, MAX_TOKENS = 1000, 8192

_ISSUED = (Role.PROVIDER, Role.TENANT_ADMIN, Role.AUDITOR, Role.HOST_AGENT)
_NO_AUTHORITY = "this SVM has no authority yet: run `svm init`, then start the SVM anew"


@dataclass(frozen=True, slots=True)
class IdentityView:
    """What the service is about. registry: None where `svm init` was not run.

    enrolment, guests: HOST:PORT for guests; see CreateTokenReply. attached: whether a guest is.
    """

    registry: Registry | None
    enrolment: str
    guests: str
    attached: Callable[[str], bool]
    clock: Callable[[], float]


class IdentityAdministrationService(identity_pb2_grpc.IdentityAdministrationServicer):
    """Serves administrators beside AdministrationService."""

    def __init__(self, view: IdentityView, caller: CallerOf, turns: Turns | None = None) -> None:
        """caller: who calls; ends the call itself where nobody vouches."""
        self.caller = caller
        self.turns = turns or Turns()
        self._view = view

    @answered
    async def CreateToken(
        self, request: identity_pb2.CreateTokenRequest, caller: Caller
    ) -> identity_pb2.CreateTokenReply:
        """Make a token."""
        tenant = tenant_of(caller, request.tenant) or DEFAULT_TENANT
        seconds = request.ttl.seconds if request.HasField("ttl") else USUAL_TOKEN_SECONDS
        if not LEAST_TOKEN_SECONDS <= seconds <= MOST_TOKEN_SECONDS:
            raise BadRequest(f"ttl is {seconds} s: give {LEAST_TOKEN_SECONDS} to {MOST_TOKEN_SECONDS}")
        if len(request.key_sha256) not in (0, 32):
            raise BadRequest(f"key_sha256 has {len(request.key_sha256)} bytes: give exactly 32, or none")
        only, registry = Only(request.key_sha256, request.not_revoked), self._registry()
        with _Refusals():
            made = await registry.token(tenant, request.uuid, seconds, caller, only)
        return identity_pb2.CreateTokenReply(
            token=made.text,
            tenant=tenant,
            uuid=request.uuid,
            expires=_timestamp(made.token.expires_at),
            authority_sha256=registry.authority.sha256,
            enrolment=self._view.enrolment,
            guests=self._view.guests,
            new_tenant=made.new_tenant,
        )

    @answered
    async def ListTokens(
        self, request: identity_pb2.ListTokensRequest, caller: Caller
    ) -> identity_pb2.ListTokensReply:
        """Answer which tokens there are."""
        limit = checked_limit(request.limit, DEFAULT_TOKENS, MAX_TOKENS)
        known = self._registry().tokens(tenant_of(caller, request.tenant))
        reply = identity_pb2.ListTokensReply()

        now = self._view.clock()

        def take(token: Token) -> None:
            if now < token.expires_at and token.is_for(caller) and len(reply.tokens) < limit:
                reply.tokens.append(_token(token))

        with _Refusals():
            await self.turns.each(known, take)
        return reply

    @answered
    async def WithdrawToken(
        self, request: identity_pb2.WithdrawTokenRequest, caller: Caller
    ) -> identity_pb2.WithdrawTokenReply:
        """Have a token count no more."""
        by, registry = By(caller, _reason(request.reason)), self._registry()
        with _Refusals():
            token = await registry.withdraw(_beginning(request.sha256), by)
        return identity_pb2.WithdrawTokenReply(token=_token(token))

    @answered
    async def GetGuest(
        self, request: identity_pb2.GetGuestRequest, caller: Caller
    ) -> identity_pb2.GetGuestReply:
        """Answer who a guest is."""
        with _Refusals():
            found = self._registry().known(request.guest)
        if found is None or not caller.sees(found[0].tenant):
            raise ControlRefused(f"no guest {request.guest[:80]} is enrolled: see `svm guests list`")
        guest, certificates = found
        current = next((each for each in certificates if each.sha256 == guest.current), None)
        return identity_pb2.GetGuestReply(
            guest=self._guest(guest, current),
            certificates=[self._certificate(each, guest.holder) for each in certificates],
        )

    @ending
    async def RevokeGuest(
        self, request: identity_pb2.RevokeGuestRequest, caller: Caller
    ) -> identity_pb2.RevokeGuestReply:
        """End a guest's certificates."""
        by = By(caller, _reason(request.reason))
        with _Refusals():
            ended = await self._registry().revoke_guest(request.guest, by)
        return identity_pb2.RevokeGuestReply(certificates=ended)

    @ending
    async def RemoveGuest(
        self, request: identity_pb2.RemoveGuestRequest, caller: Caller
    ) -> identity_pb2.RemoveGuestReply:
        """Forget a guest."""
        by = By(caller, _reason(request.reason))
        with _Refusals():
            await self._registry().remove_guest(request.guest, by)
        return identity_pb2.RemoveGuestReply()

    @answered
    async def IssueCertificate(
        self, request: identity_pb2.IssueCertificateRequest, caller: Caller
    ) -> identity_pb2.IssueCertificateReply:
        """Make an administrator's certificate."""
        if request.role not in _ISSUED:
            raise BadRequest(f"role is {request.role[:80]!r}: give one of {', '.join(_ISSUED)}")
        holder, registry = Caller(request.name, Role(request.role), request.tenant), self._registry()
        with _Refusals():
            issued = await registry.issue(holder, request.csr, caller)
        return identity_pb2.IssueCertificateReply(
            certificate=issued.der, chain=registry.authority.chain, ends=_timestamp(issued.record.ends_at)
        )

    @answered
    async def ListCertificates(
        self, request: identity_pb2.ListCertificatesRequest, caller: Caller
    ) -> identity_pb2.ListCertificatesReply:
        """Answer which certificates there are."""
        limit = checked_limit(request.limit, DEFAULT_CERTIFICATES, MAX_CERTIFICATES)
        reply = identity_pb2.ListCertificatesReply()
        known = islice(self._registry().certificates(caller.tenant, request.guests), limit)
        with _Refusals():
            await self.turns.each(known, lambda each: reply.certificates.append(self._certificate(*each)))
        return reply

    @ending
    async def RevokeCertificate(
        self, request: identity_pb2.RevokeCertificateRequest, caller: Caller
    ) -> identity_pb2.RevokeCertificateReply:
        """End one certificate."""
        by, registry = By(caller, _reason(request.reason)), self._registry()
        with _Refusals():
            ended = await registry.revoke_certificate(_beginning(request.sha256), by)
        return identity_pb2.RevokeCertificateReply(
            certificate=self._certificate(ended.certificate, ended.holder), tokens=ended.tokens
        )

    def _registry(self) -> Registry:
        if self._view.registry is None:
            raise ControlRefused(_NO_AUTHORITY)
        return self._view.registry

    def _guest(self, guest: EnrolledGuest, current: Certificate | None) -> identity_pb2.EnrolledGuest:
        return identity_pb2.EnrolledGuest(
            guest=guest.uuid,
            tenant=guest.tenant,
            host_name=guest.host_name,
            enrolled=_timestamp(guest.enrolled_at),
            machine=guest.machine,
            attached=self._view.attached(guest.uuid),
            state="expired" if current is None else current.state(self._view.clock()),
        )

    def _certificate(self, certificate: Certificate, holder: Caller) -> identity_pb2.Certificate:
        ended = certificate.ended is not None
        return identity_pb2.Certificate(
            sha256=certificate.sha256,
            serial=certificate.serial,
            role=holder.role,
            name=holder.name,
            tenant=holder.tenant,
            issued=_timestamp(certificate.issued_at),
            ends=_timestamp(certificate.ends_at),
            state=certificate.state(self._view.clock()),
            ended=_timestamp(certificate.ended_at) if ended else None,
            ended_by=certificate.ended_by,
            reason=certificate.reason,
        )


class _Refusals:
    """What the register raises, as administrators' calls have it."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BadName | BadCsr):
            raise BadRequest(str(error)) from error
        if isinstance(error, IdentityRefused | AuthorityUnusable | StateError):
            raise ControlRefused(str(error)) from error


def _reason(text: str) -> str:
    reason = text.strip()
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise BadRequest(f"reason has {len(reason.encode())} bytes: give at most {MAX_REASON_BYTES}")
    return reason


def _beginning(sha256: bytes) -> bytes:
    if not BEGINNING_BYTES <= len(sha256) <= 32:
        raise BadRequest(f"sha256 has {len(sha256)} bytes: give {BEGINNING_BYTES} to 32")
    return sha256


def _token(token: Token) -> identity_pb2.Token:
    return identity_pb2.Token(
        sha256=token.digest,
        tenant=token.tenant,
        uuid=token.uuid,
        author=token.author,
        created=_timestamp(token.created_at),
        expires=_timestamp(token.expires_at),
        used=bool(token.key),
    )


def _timestamp(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(seconds))
