"""Which role may call what: one table, and the gate that every call passes.

What has no row here nobody may call. Whose things a caller sees is not decided here but by the service:
a row for `TENANT_ADMIN` means that the service shows and changes nothing of other tenants.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.rpc.identity import Callers, Context

ANYBODY: frozenset[Role] = frozenset(Role)  # also who proves nothing

_GUEST = frozenset({Role.GUEST})
_PROVIDER = frozenset({Role.PROVIDER})
_WRITERS = frozenset({Role.PROVIDER, Role.TENANT_ADMIN})
_READERS = frozenset({Role.PROVIDER, Role.TENANT_ADMIN, Role.AUDITOR})
_HOSTS = frozenset({Role.PROVIDER, Role.HOST_AGENT})
_ALL_ADMINISTRATORS = _READERS | {Role.HOST_AGENT}

_ROWS: dict[str, dict[str, frozenset[Role]]] = {
    "lightagent.v1.Protection": {
        "Attach": _GUEST,
        "Check": _GUEST,
        "Scan": _GUEST,
        "KsnInfo": _GUEST,
        "CheckUrl": _GUEST,
    },
    "lightagent.v1.Renewal": {"Renew": _GUEST},
    "lightagent.v1.Enrolment": {"Enrol": ANYBODY},  # a door of its own; what it takes is a token
    "lightagent.v1.Administration": {
        "GetStatus": _ALL_ADMINISTRATORS,
        "GetVerdict": _READERS,
        "SetOverride": _WRITERS,
        "ClearVerdict": _WRITERS,
        "ListAudit": _READERS,
        "ListSignatures": _READERS,
        "ReloadSignatures": _PROVIDER,
    },
    "lightagent.v1.KsnAdministration": {
        "ListPolicies": _READERS,
        "CreatePolicy": _WRITERS,
        "ChangePolicy": _WRITERS,
        "ListHistory": _READERS,
        "GetStatementText": _READERS,
        "GetKsnStatus": _READERS,
        "CheckKsn": _WRITERS,  # sends something
        "LookUp": _WRITERS,
    },
    "lightagent.v1.EventsAdministration": {"ListEvents": _ALL_ADMINISTRATORS},
    "lightagent.v1.ExposureAdministration": {
        "GetExposure": _READERS,
        "ListGuests": _ALL_ADMINISTRATORS,
        "ListGuestFiles": _READERS,
    },
    "lightagent.v1.ScansAdministration": {
        "OrderScans": _WRITERS | {Role.HOST_AGENT},
        "ListScans": _ALL_ADMINISTRATORS,
        "CancelScans": _WRITERS | {Role.HOST_AGENT},
    },
    "lightagent.v1.ImageAdministration": {
        # Into the part of the cache that everybody reads too: what enters there the SVM has hashed itself.
        "CheckImage": _PROVIDER | {Role.HOST_AGENT},
        "ScanContent": _PROVIDER | {Role.HOST_AGENT},
    },
    "lightagent.v1.IdentityAdministration": {
        "CreateToken": _WRITERS | {Role.HOST_AGENT},  # which hands it to a guest of its host
        "ListTokens": _ALL_ADMINISTRATORS,
        "WithdrawToken": _WRITERS | {Role.HOST_AGENT},  # of its own
        "GetGuest": _ALL_ADMINISTRATORS,
        "RevokeGuest": _WRITERS,
        "RemoveGuest": _WRITERS,
        "IssueCertificate": _PROVIDER,
        "ListCertificates": _READERS,
        "RevokeCertificate": _PROVIDER,
    },
    "lightagent.v1.HostAdministration": {
        "ReportVms": _HOSTS,
        "ReportVmEvent": _HOSTS,
        "ListVms": _ALL_ADMINISTRATORS,
    },
    # Say what is served, and how to ask; see `lobby` for what they may hold.
    "grpc.health.v1.Health": {"Check": ANYBODY, "Watch": ANYBODY},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": ANYBODY},
}

ACCESS: Mapping[str, frozenset[Role]] = {
    f"/{service}/{method}": roles for service, methods in _ROWS.items() for method, roles in methods.items()
}


_NO_MESSAGE = object()  # in place of a request


def _forgiving(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Have bytes that are no message come to the gate: gRPC would log an error, and end the call by it."""

    def parsed(said: bytes) -> Any:
        try:
            return parse(said)
        except DecodeError:
            return _NO_MESSAGE

    return parsed


@dataclass(slots=True, eq=False)
class _Call:
    """One that is under way. patience: when it ends, the call does. why: what is said then."""

    context: Context
    patience: asyncio.Timeout
    why: str = ""


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its types alone
    """Lets a call through to its service, or ends it, before its first message is read."""

    def __init__(
        self, callers: Callers, on_refused: Callable[[str, str, str], None] = lambda _kind, _who, _why: None
    ) -> None:
        """on_refused: told "unauthenticated" where nobody vouched, or "denied" by the table, who, and why."""
        self._callers = callers
        self._on_refused = on_refused
        self._calls: defaultdict[Caller, set[_Call]] = defaultdict(set)

    def end(self, caller: Caller, why: str) -> None:
        """End the calls of a caller for which nobody vouches any more. why: a sentence for them.

        Each is asked for anew: he may have a newer certificate, or another ticket, that counts.
        """
        now = asyncio.get_running_loop().time()
        for call in self._calls.get(caller, ()):
            if not call.why and not self._counts(call, caller):
                call.why = why
                call.patience.reschedule(now)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the service's handler behind the gate; None where there is no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        kind = next(
            kind
            for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
            if getattr(handler, kind) is not None
        )
        body, method = getattr(handler, kind), handler_call_details.method

        async def guarded(said: Any, context: Context) -> Any:
            async with self._admitted(method, context):
                if said is _NO_MESSAGE:
                    sentence = f"these bytes are no request of {method}: send what the .proto says"
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, sentence)
                return await body(said, context)

        parse = handler.request_deserializer
        if kind.startswith("unary") and parse is not None:  # messages of a stream its service reads itself
            parse = _forgiving(parse)
        return handler._replace(request_deserializer=parse, **{kind: guarded})

    @asynccontextmanager
    async def _admitted(self, method: str, context: Context) -> AsyncIterator[None]:
        roles = ACCESS.get(method, frozenset())
        if roles is ANYBODY:
            yield
            return
        caller = await self._caller(context)
        if caller.role not in roles:
            await self._refuse(context, caller, method, roles)
        call: _Call | None = None
        try:
            async with asyncio.timeout(None) as patience:
                call = _Call(context, patience)
                with self._under_way(caller, call):
                    yield
        except TimeoutError:
            if call is None or not call.why:
                raise  # the service's own
            await _abort(context, call.why)

    async def _caller(self, context: Context) -> Caller:
        try:
            return self._callers.who(context)
        except NotAdmitted as error:
            self._on_refused("unauthenticated", self._callers.name(context), str(error))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            raise AssertionError from error  # abort raises

    def _counts(self, call: _Call, caller: Caller) -> bool:
        try:
            return self._callers.who(call.context) == caller
        except NotAdmitted:
            return False

    async def _refuse(self, context: Context, caller: Caller, method: str, roles: frozenset[Role]) -> None:
        may = ", ".join(sorted(roles)) or "nobody"
        why = f"{caller.role} may not call {method}: that is for {may}"
        self._on_refused("denied", caller.author, why)
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, why)

    @contextmanager
    def _under_way(self, caller: Caller, call: _Call) -> Iterator[None]:
        self._calls[caller].add(call)
        try:
            yield
        finally:
            self._calls[caller].discard(call)
            if not self._calls[caller]:
                del self._calls[caller]


async def _abort(context: Context, why: str) -> None:
    """End a call for whose caller nobody vouches any more, unless its service is just ending it."""
    try:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, why)
    except grpc.aio.UsageError:  # it was cut off in doing so, and its own status is on the way
        raise asyncio.CancelledError from None
