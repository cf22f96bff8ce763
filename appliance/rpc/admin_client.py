"""The `svm` commands' end of the services for administrators.

Every call has a deadline, and every failure becomes a sentence.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
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
    scans_pb2,
    scans_pb2_grpc,
)

CALL_SECONDS = 15.0
NETWORK_SECONDS = 60.0  # for calls that ask KSN: a name, a connection and an answer may each take their time
RELOAD_SECONDS = 600.0  # compiling a large set of rules takes minutes on a small machine
MAX_REPLY_BYTES = 64 * 1024 * 1024
_TICKET_BYTES = 33  # 32 hexadecimal digits and a newline

# Statuses whose details are the SVM's own sentence.
_SENTENCES = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)

Reply = TypeVar("Reply")


class AdminError(Exception):
    """The SVM did not do what was asked. The message says what happened and what to do."""


class AdminClient:
    """One administrator's connection to an SVM, for the length of a `with`."""

    def __init__(
        self,
        path: str,
        call_seconds: float = CALL_SECONDS,
        reload_seconds: float = RELOAD_SECONDS,
        network_seconds: float = NETWORK_SECONDS,
    ) -> None:
        """path: of the administration socket.

        The longest that a reload, a call that asks KSN, and any other call may take.
        """
        self.path = path
        self._call_seconds = call_seconds
        self._reload_seconds = reload_seconds
        self._network_seconds = network_seconds

    def __enter__(self) -> Self:
        """Get a ticket and open the channel, or raise AdminError."""
        self._companion, ticket = self._get_ticket()
        self._metadata = (("ticket", ticket),)
        options = [("grpc.max_receive_message_length", MAX_REPLY_BYTES)]
        self._channel = grpc.insecure_channel(f"unix:{os.path.abspath(self.path)}", options)
        self._stub = admin_pb2_grpc.AdministrationStub(self._channel)
        self._ksn = admin_pb2_grpc.KsnAdministrationStub(self._channel)
        self._events = events_pb2_grpc.EventsAdministrationStub(self._channel)
        self._exposure = exposure_pb2_grpc.ExposureAdministrationStub(self._channel)
        self._scans = scans_pb2_grpc.ScansAdministrationStub(self._channel)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the channel and give the ticket back."""
        self._channel.close()
        self._companion.close()

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
        """What administrators changed, the newest first."""
        return self._call(self._stub.ListAudit, admin_pb2.ListAuditRequest(limit=limit, tenant=tenant))

    def signatures(self) -> admin_pb2.ListSignaturesReply:
        """The signature sources in use."""
        return self._call(self._stub.ListSignatures, admin_pb2.ListSignaturesRequest())

    def reload(self) -> admin_pb2.ReloadSignaturesReply:
        """Have the sources read anew; returns when the new ones are in use."""
        return self._call(
            self._stub.ReloadSignatures, admin_pb2.ReloadSignaturesRequest(), self._reload_seconds
        )

    def events(self, request: events_pb2.ListEventsRequest) -> Iterator[events_pb2.Event]:
        """What happened, each event as it comes; without end where it is to be followed."""
        seconds = None if request.follow else self._network_seconds
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

    def _get_ticket(self) -> tuple[socket.socket, str]:
        """Return the companion connection, which must stay open, and the ticket it gave."""
        companion = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line = b""
        try:
            companion.settimeout(self._call_seconds)
            companion.connect(self.path + ".id")
            while len(line) < _TICKET_BYTES and (more := companion.recv(_TICKET_BYTES - len(line))):
                line += more
        except OSError as error:
            companion.close()
            raise AdminError(self._why_unreachable(error)) from error
        if len(line) < _TICKET_BYTES or not line.endswith(b"\n"):
            companion.close()
            raise AdminError(f"the SVM on {self.path} admits nobody now: it has too many callers; try again")
        return companion, line.decode("ascii", "replace").strip()

    def _why_unreachable(self, error: OSError) -> str:
        if isinstance(error, PermissionError):
            return f"no right to use {self.path}: run this as the user that runs the SVM, or as root"
        if isinstance(error, TimeoutError):
            return f"the SVM on {self.path} does not answer: see its log, or restart it"
        if isinstance(error, FileNotFoundError | ConnectionError):
            return f"no SVM answers on {self.path}: is `svm serve` running? Start it, or give its --socket"
        return f"{self.path} cannot be used: {error.strerror or error}; give the SVM's --socket"

    def _call(self, method: Callable[..., Reply], request: Any, seconds: float = 0.0) -> Reply:
        """Return the reply, or raise AdminError with a sentence."""
        deadline = seconds or self._call_seconds
        try:
            return method(request, timeout=deadline, metadata=self._metadata)
        except grpc.RpcError as error:
            raise AdminError(self._why_failed(error, deadline)) from error

    def _stream(
        self, method: Callable[..., Iterable[Reply]], request: Any, seconds: float | None
    ) -> Iterator[Reply]:
        """Yield the replies, or raise AdminError with a sentence. seconds: None for as long as it takes."""
        try:
            yield from method(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise AdminError(self._why_failed(error, seconds or 0.0)) from error

    def _why_failed(self, error: grpc.RpcError, seconds: float) -> str:
        code, details = error.code(), error.details()
        if code in _SENTENCES:
            return str(details)
        if code is grpc.StatusCode.UNAVAILABLE:
            return f"the SVM on {self.path} went away, or is stopping: see its log, and ask again"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the SVM on {self.path} did not answer within {seconds:g} s: see its log, then try again"
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return f"the SVM on {self.path} does not know this command: it is older than this svm; update it"
        return f"the SVM on {self.path} failed ({code.name}: {details}): see its log"
