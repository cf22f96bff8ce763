"""The `svm` commands' end of the services for administrators.

Every call has a deadline, and every failure becomes a sentence.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from lightagent.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    exposure_pb2,
    exposure_pb2_grpc,
    hosts_pb2,
    hosts_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    scans_pb2,
    scans_pb2_grpc,
)

from appliance.rpc.admin_line import AdminError, AdminLine, SocketLine

__all__ = ["AdminClient", "AdminError"]

CALL_SECONDS = 15.0
NETWORK_SECONDS = 60.0  # for calls that ask KSN: a name, a connection and an answer may each take their time
RELOAD_SECONDS = 600.0  # compiling a large set of rules takes minutes on a small machine

_CLOSED = "the connection to the SVM was closed meanwhile: ask again"  # as gRPC says by a ValueError

# Statuses whose details are the SVM's own sentence.
_SENTENCES = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
)

Reply = TypeVar("Reply")


class AdminClient:
    """One administrator's connection to an SVM, for the length of a `with`."""

    def __init__(
        self,
        line: AdminLine | str,
        call_seconds: float = CALL_SECONDS,
        reload_seconds: float = RELOAD_SECONDS,
        network_seconds: float = NETWORK_SECONDS,
    ) -> None:
        """line: how it is reached; a text is the path of its administration socket.

        The longest that a reload, a call that asks KSN, and any other call may take.
        """
        self._line: AdminLine = SocketLine(line) if isinstance(line, str) else line
        self._stack = ExitStack()
        self._call_seconds = call_seconds
        self._reload_seconds = reload_seconds
        self._network_seconds = network_seconds

    def __enter__(self) -> Self:
        """Open the line, or raise AdminError."""
        with ExitStack() as stack:
            line = self._line.open(self._call_seconds, stack)
            self._stack = stack.pop_all()
        self._channel, self._metadata = line.channel, line.metadata
        self._stub = admin_pb2_grpc.AdministrationStub(self._channel)
        self._ksn = admin_pb2_grpc.KsnAdministrationStub(self._channel)
        self._events = events_pb2_grpc.EventsAdministrationStub(self._channel)
        self._exposure = exposure_pb2_grpc.ExposureAdministrationStub(self._channel)
        self._scans = scans_pb2_grpc.ScansAdministrationStub(self._channel)
        self._identity = identity_pb2_grpc.IdentityAdministrationStub(self._channel)
        self._hosts = hosts_pb2_grpc.HostAdministrationStub(self._channel)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the line."""
        self._stack.close()

    def __str__(self) -> str:
        """Where the line leads."""
        return str(self._line)

    def status(self) -> admin_pb2.GetStatusReply:
        """What the SVM is doing."""
        return self._call(self._stub.GetStatus, admin_pb2.GetStatusRequest())

    def verdict(self, digest: bytes, tenant: str = "") -> admin_pb2.GetVerdictReply:
        """What is known of a digest, to a tenant's guests or to all."""
        request = admin_pb2.GetVerdictRequest(sha256=digest, tenant=tenant)
        return self._call(self._stub.GetVerdict, request)

    def set_override(self, request: admin_pb2.SetOverrideRequest) -> admin_pb2.Override:
        """Allow or block a digest; durable on return."""
        return self._call(self._stub.SetOverride, request).override

    def clear(self, digest: bytes, reason: str, tenant: str = "") -> bool:
        """End an override and forget a verdict, a tenant's or those for all; whether there was one."""
        request = admin_pb2.ClearVerdictRequest(sha256=digest, reason=reason, tenant=tenant)
        return self._call(self._stub.ClearVerdict, request).cleared

    def audit(self, limit: int, tenant: str = "") -> admin_pb2.ListAuditReply:
        """What administrators changed, the newest first. tenant: "" for all that may be seen."""
        request = admin_pb2.ListAuditRequest(limit=limit, tenant=tenant)
        return self._call(self._stub.ListAudit, request)

    def signatures(self) -> admin_pb2.ListSignaturesReply:
        """The signature sources in use."""
        return self._call(self._stub.ListSignatures, admin_pb2.ListSignaturesRequest())

    def reload(self) -> admin_pb2.ReloadSignaturesReply:
        """Have the sources read anew; returns when the new ones are in use."""
        return self._call(
            self._stub.ReloadSignatures, admin_pb2.ReloadSignaturesRequest(), self._reload_seconds
        )

    def events(
        self, request: events_pb2.ListEventsRequest, follow_seconds: float | None = None
    ) -> Iterator[events_pb2.Event]:
        """What happened, each event as it comes; without end where it is to be followed.

        follow_seconds: how long it is followed; then AdminError.
        """
        seconds = follow_seconds if request.follow else self._network_seconds
        replies: Iterator[events_pb2.ListEventsReply]
        replies = self._stream(self._events.ListEvents, request, seconds)
        for reply in replies:
            yield from reply.events

    def exposure(self, digest: bytes) -> exposure_pb2.GetExposureReply:
        """Which guests hold a digest."""
        request = exposure_pb2.GetExposureRequest(sha256=digest)
        return self._call(self._exposure.GetExposure, request, self._network_seconds)

    def guests(self, limit: int) -> exposure_pb2.ListGuestsReply:
        """Which guests there are."""
        return self._call(self._exposure.ListGuests, exposure_pb2.ListGuestsRequest(limit=limit))

    def guest_files(self, request: exposure_pb2.ListGuestFilesRequest) -> Iterator[exposure_pb2.GuestFile]:
        """What a guest holds, as it is found: all that is kept is looked through."""
        replies: Iterator[exposure_pb2.ListGuestFilesReply]
        replies = self._stream(self._exposure.ListGuestFiles, request, self._reload_seconds)
        for reply in replies:
            yield from reply.files

    def order_scans(self, request: scans_pb2.OrderScansRequest) -> scans_pb2.OrderScansReply:
        """Have guests scanned; the orders are durable on return."""
        return self._call(self._scans.OrderScans, request, self._network_seconds)

    def scans(self, request: scans_pb2.ListScansRequest) -> Iterator[scans_pb2.OrderedScan]:
        """How scans stand that were ordered; without end where they are to be followed."""
        seconds = None if request.follow else self._network_seconds
        replies: Iterator[scans_pb2.ListScansReply]
        replies = self._stream(self._scans.ListScans, request, seconds)
        for reply in replies:
            yield from reply.scans

    def cancel_scans(self, request: scans_pb2.CancelScansRequest) -> int:
        """Call scans off; how many were open."""
        return self._call(self._scans.CancelScans, request, self._network_seconds).cancelled

    def create_token(self, request: identity_pb2.CreateTokenRequest) -> identity_pb2.CreateTokenReply:
        """Make a token for an enrolment; durable on return, and told this once."""
        return self._call(self._identity.CreateToken, request)

    def tokens(self, request: identity_pb2.ListTokensRequest) -> identity_pb2.ListTokensReply:
        """Which tokens there are."""
        return self._call(self._identity.ListTokens, request)

    def withdraw_token(self, sha256: bytes, reason: str) -> identity_pb2.Token:
        """Have a token count no more, by the beginning of its SHA-256; durable and in force on return."""
        request = identity_pb2.WithdrawTokenRequest(sha256=sha256, reason=reason)
        return self._call(self._identity.WithdrawToken, request).token

    def enrolled_guest(self, guest: str) -> identity_pb2.GetGuestReply:
        """Who a guest is."""
        return self._call(self._identity.GetGuest, identity_pb2.GetGuestRequest(guest=guest))

    def revoke_guest(self, guest: str, reason: str) -> int:
        """End a guest's certificates; how many counted. Durable and in force on return."""
        request = identity_pb2.RevokeGuestRequest(guest=guest, reason=reason)
        return self._call(self._identity.RevokeGuest, request).certificates

    def remove_guest(self, guest: str, reason: str) -> None:
        """End a guest's certificates, and forget it; durable and in force on return."""
        self._call(self._identity.RemoveGuest, identity_pb2.RemoveGuestRequest(guest=guest, reason=reason))

    def issue_certificate(
        self, request: identity_pb2.IssueCertificateRequest
    ) -> identity_pb2.IssueCertificateReply:
        """Have a certificate made for an administrator; durable and in force on return."""
        return self._call(self._identity.IssueCertificate, request)

    def certificates(self, limit: int, guests: bool) -> identity_pb2.ListCertificatesReply:
        """Which certificates are known."""
        request = identity_pb2.ListCertificatesRequest(limit=limit, guests=guests)
        return self._call(self._identity.ListCertificates, request)

    def revoke_certificate(self, sha256: bytes, reason: str) -> identity_pb2.RevokeCertificateReply:
        """End a certificate, by the beginning of its SHA-256; durable and in force on return."""
        request = identity_pb2.RevokeCertificateRequest(sha256=sha256, reason=reason)
        return self._call(self._identity.RevokeCertificate, request)

    def report_vms(self, request: hosts_pb2.ReportVmsRequest) -> hosts_pb2.ReportVmsReply:
        """Tell of all machines of a host; durable on return."""
        return self._call(self._hosts.ReportVms, request)

    def report_vm_event(self, request: hosts_pb2.ReportVmEventRequest) -> None:
        """Tell of something that was done to a machine; durable on return."""
        self._call(self._hosts.ReportVmEvent, request)

    def vms(self, limit: int, tenant: str = "") -> hosts_pb2.ListVmsReply:
        """Which machines the hosts have, and how each is protected."""
        return self._call(self._hosts.ListVms, hosts_pb2.ListVmsRequest(limit=limit, tenant=tenant))

    def policies(self) -> admin_pb2.ListPoliciesReply:
        """Every tenant's policy, by name."""
        return self._call(self._ksn.ListPolicies, admin_pb2.ListPoliciesRequest())

    def create_policy(self, request: admin_pb2.CreatePolicyRequest) -> admin_pb2.TenantPolicy:
        """Begin a tenant's policy; durable and in force on return."""
        return self._call(self._ksn.CreatePolicy, request).policy

    def change_policy(self, request: admin_pb2.ChangePolicyRequest) -> admin_pb2.TenantPolicy:
        """Change a tenant's policy; durable and in force on return."""
        return self._call(self._ksn.ChangePolicy, request).policy

    def history(self, tenant: str, limit: int) -> admin_pb2.ListHistoryReply:
        """Decisions on Statements and changes of settings, the newest first. tenant: "" for every one."""
        request = admin_pb2.ListHistoryRequest(tenant=tenant, limit=limit)
        return self._call(self._ksn.ListHistory, request)

    def statement_text(self, sha256: str) -> admin_pb2.GetStatementTextReply:
        """A text that somebody decided on. sha256: its first digits, or all."""
        return self._call(self._ksn.GetStatementText, admin_pb2.GetStatementTextRequest(sha256=sha256))

    def ksn_status(self, tenant: str) -> admin_pb2.GetKsnStatusReply:
        """Whether and how KSN is used on a tenant's behalf."""
        return self._call(self._ksn.GetKsnStatus, admin_pb2.GetKsnStatusRequest(tenant=tenant))

    def check_ksn(self, tenant: str) -> admin_pb2.CheckKsnReply:
        """Have the service tried on a tenant's behalf."""
        return self._call(self._ksn.CheckKsn, admin_pb2.CheckKsnRequest(tenant=tenant), self._network_seconds)

    def look_up(self, tenant: str, digest: bytes) -> admin_pb2.LookUpReply:
        """What KSN says of a digest, asked on a tenant's behalf."""
        request = admin_pb2.LookUpRequest(tenant=tenant, sha256=digest)
        return self._call(self._ksn.LookUp, request, self._network_seconds)

    def look_up_url(self, tenant: str, url: str) -> admin_pb2.LookUpReply:
        """What KSN says of a web address, asked on a tenant's behalf."""
        request = admin_pb2.LookUpRequest(tenant=tenant, url=url)
        return self._call(self._ksn.LookUp, request, self._network_seconds)

    def _call(self, method: Callable[..., Reply], request: Any, seconds: float = 0.0) -> Reply:
        """Return the reply, or raise AdminError with a sentence."""
        deadline = seconds or self._call_seconds
        try:
            return method(request, timeout=deadline, metadata=self._metadata)
        except grpc.RpcError as error:
            raise AdminError(self._why_failed(error, deadline)) from error
        except ValueError as error:
            raise AdminError(_CLOSED) from error

    def _stream(
        self, method: Callable[..., Iterable[Reply]], request: Any, seconds: float | None
    ) -> Iterator[Reply]:
        """Yield the replies, or raise AdminError with a sentence. seconds: None for as long as it takes."""
        try:
            yield from method(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise AdminError(self._why_failed(error, seconds or 0.0)) from error
        except ValueError as error:
            raise AdminError(_CLOSED) from error

    def _why_failed(self, error: grpc.RpcError, seconds: float) -> str:
        return why_failed(self._line, error.code(), error.details(), seconds)


def why_failed(line: AdminLine, code: grpc.StatusCode, details: str | None, seconds: float) -> str:
    """A sentence for a call that failed. seconds: its deadline."""
    if code in _SENTENCES:
        return str(details)
    if code is grpc.StatusCode.UNAVAILABLE:
        return line.why_unavailable(str(details))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the SVM on {line} did not answer within {seconds:g} s: see its log, then try again"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return (
            f"the SVM on {line} does not know this command: is that where administrators ask "
            "(server.admin_listen, server.admin), and not guests? Else it is older than this svm: update it"
        )
    return f"the SVM on {line} failed ({code.name}: {details}): see its log"
