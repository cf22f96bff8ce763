"""Which role may call what."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import lightagent.v1
import pytest
from lightagent.v1 import admin_pb2

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.guest import Guest
from appliance.rpc.access import ACCESS, Gate
from appliance.rpc.identity import Callers, Context
from tests.support.svm import DEADLINE, until

STATUS, OVERRIDE, ATTACH = (
    "/lightagent.v1.Administration/GetStatus",
    "/lightagent.v1.Administration/SetOverride",
    "/lightagent.v1.Protection/Attach",
)


def methods() -> set[str]:
    """Every RPC of every .proto file of this project."""
    directory = Path(lightagent.v1.__path__[0])
    modules = [import_module(f"lightagent.v1.{path.stem}_pb2") for path in directory.glob("*.proto")]
    services = [each for module in modules for each in module.DESCRIPTOR.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def test_every_rpc_has_its_row() -> None:
    """A new one is nobody's until somebody has thought about whose it is; no row stands for nothing."""
    assert methods() <= set(ACCESS)
    ours = {method for method in ACCESS if method.startswith("/lightagent.")}
    assert ours <= methods()


def test_no_row_is_for_nobody() -> None:
    """What nobody may call need not be served."""
    assert all(ACCESS.values())


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.HOST_AGENT, Role.GUEST, Role.SVM])
def test_who_only_reads_or_asks_changes_nothing(role: Role) -> None:
    """Overrides, signatures, policies and consent are for others."""
    writing = [
        method
        for method in ACCESS
        if method.rpartition("/")[2].startswith(("Set", "Clear", "Create", "Change", "Reload"))
        and "Token" not in method
    ]
    assert len(writing) >= 5
    assert [method for method in writing if role in ACCESS[method]] == []


def test_guests_call_what_is_for_guests_and_nothing_else() -> None:
    """And no administrator may pass for a guest."""
    guests = {method.split("/")[1] for method, roles in ACCESS.items() if roles == {Role.GUEST}}
    assert "lightagent.v1.Protection" in guests
    assert not any("Administration" in service for service in guests)
    with_guests = {method: roles for method, roles in ACCESS.items() if Role.GUEST in roles}
    mixed = [method for method, roles in with_guests.items() if len(roles) not in (1, len(Role))]
    assert mixed == []


def _certificate_of(context: Context) -> str:
    """Which of his certificates a caller shows, as a test names it."""
    named = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
    return named.get("certificate", "")


@dataclass
class Door:
    """A server with a gate in front of handlers that answer anything, to whoever the test says calls."""

    target: str
    who: Caller | None = None
    revoked: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(Callers(self), lambda *said: self.refused.append(said))

    def caller(self, context: Context) -> Caller:
        """Whoever the test says, unless the certificate that the call names counts no more."""
        if self.who is None:
            raise NotAdmitted("nobody vouches for you")
        if _certificate_of(context) in self.revoked:
            raise NotAdmitted("this certificate counts no more")
        return self.who

    def guest(self, context: Context) -> Guest:
        """The same as a guest."""
        return Guest(self.caller(context).name)

    async def answer(self, _said: bytes, _context: Context) -> bytes:
        """Answer a unary call."""
        self.said.append("answered")
        return b"ok"

    async def stay(self, _said: AsyncIterator[bytes], context: Context) -> None:
        """Answer a stream, and stay."""
        self.said.append("begun")
        await context.write(b"ok")
        try:
            await asyncio.Event().wait()
        finally:
            self.said.append("ended")

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        """Every method there is."""
        if details.method == ATTACH:
            return grpc.stream_stream_rpc_method_handler(self.stay)
        return grpc.unary_unary_rpc_method_handler(self.answer, admin_pb2.GetStatusRequest.FromString)


@asynccontextmanager
async def door(directory: Path, who: Caller | None = None) -> AsyncIterator[tuple[Door, grpc.aio.Channel]]:
    """The server, and a channel to it."""
    made = Door(f"unix:{directory}/door.sock", who)
    server = grpc.aio.server(interceptors=(made.gate,))
    server.add_generic_rpc_handlers((made,))  # type: ignore[arg-type]
    server.add_insecure_port(made.target)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(made.target) as channel:
            yield made, channel
    finally:
        await server.stop(0)


async def status_of(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """How a call ends, and its sentence."""
    try:
        await asyncio.wait_for(call, DEADLINE)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def unary(channel: grpc.aio.Channel, method: str) -> Awaitable[bytes]:
    """A unary call."""
    ask: Callable[..., Awaitable[bytes]] = channel.unary_unary(method, None, None)
    return ask(b"")


async def test_bytes_that_are_no_request_are_refused_behind_the_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The service hears nothing of them, and gRPC logs no error; who may not call learns no more."""
    async with door(tmp_path, Caller("a", Role.AUDITOR)) as (made, channel):
        for method, status in (
            (STATUS, grpc.StatusCode.INVALID_ARGUMENT),
            (OVERRIDE, grpc.StatusCode.PERMISSION_DENIED),
        ):
            ask: Callable[..., Awaitable[bytes]] = channel.unary_unary(method, None, None)
            assert (await status_of(ask(b"\xff")))[0] is status
        assert made.said == []
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_the_table_decides_before_the_service_hears_of_a_call(tmp_path: Path) -> None:
    """Who may, is answered; who may not, reads for whom it is; nobody's method is nobody's."""
    async with door(tmp_path, Caller("a", Role.AUDITOR)) as (made, channel):
        assert await unary(channel, STATUS) == b"ok"
        code, why = await status_of(unary(channel, OVERRIDE))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert why == f"auditor may not call {OVERRIDE}: that is for provider, tenant-admin"
        code, why = await status_of(unary(channel, "/lightagent.v1.Other/Thing"))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert why.endswith("that is for nobody")
        assert made.said == ["answered"]
        assert [(kind, who) for kind, who, _ in made.refused] == [("denied", "auditor a")] * 2


async def test_for_whom_nobody_vouches_is_told_so(tmp_path: Path) -> None:
    """But for what anybody may ask."""
    async with door(tmp_path) as (made, channel):
        code, why = await status_of(unary(channel, STATUS))
        assert (code, why) == (grpc.StatusCode.UNAUTHENTICATED, "nobody vouches for you")
        assert await unary(channel, "/grpc.health.v1.Health/Check") == b"ok"
        assert [kind for kind, _, _ in made.refused] == ["unauthenticated"]


async def test_when_nobody_vouches_any_more_streams_end_too(tmp_path: Path) -> None:
    """With the sentence, and the service's work with them; other callers' stay."""
    async with door(tmp_path, Caller("one", Role.GUEST)) as (made, channel):
        first = channel.stream_stream(ATTACH, None, None)(None)
        assert await first.read() == b"ok"
        made.who = Caller("one", Role.GUEST, "another tenant")  # of the same name
        second = channel.stream_stream(ATTACH, None, None)(None)
        assert await second.read() == b"ok"
        made.who = None
        made.gate.end(Caller("one", Role.GUEST), "your certificate was revoked: enrol anew")
        code, why = await status_of(first.read())
        assert (code, why) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "your certificate was revoked: enrol anew",
        )
        await until(lambda: "ended" in made.said, "the service's work ends")
        assert not second.done()
        second.cancel()


async def test_what_a_newer_certificate_vouches_for_goes_on(tmp_path: Path) -> None:
    """When the older one of the same holder is revoked; twice is as once."""
    async with door(tmp_path, Caller("one", Role.GUEST)) as (made, channel):
        older, newer = (
            channel.stream_stream(ATTACH, None, None)(None, metadata=(("certificate", each),))
            for each in ("older", "newer")
        )
        assert [await stream.read() for stream in (older, newer)] == [b"ok", b"ok"]
        made.revoked.add("older")
        for why in ("your certificate was revoked", "again"):
            made.gate.end(Caller("one", Role.GUEST), why)
        assert await status_of(older.read()) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "your certificate was revoked",
        )
        assert not newer.done()
        made.revoked.add("newer")
        made.gate.end(Caller("one", Role.GUEST), "and this one")
        assert (await status_of(newer.read()))[1] == "and this one"


async def test_a_call_that_its_service_is_just_ending_ends_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the service's status, or without any; nothing fails inside."""
    async with door(tmp_path, Caller("one", Role.GUEST)) as (made, channel):

        async def ends_itself(_said: AsyncIterator[bytes], context: Context) -> None:
            """Nobody vouches any more while the status is on its way."""
            made.who = None
            asyncio.get_running_loop().call_soon(made.gate.end, Caller("one", Role.GUEST), "revoked")
            try:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
            finally:
                made.said.append("ended")

        made.stay = ends_itself  # type: ignore[method-assign]
        call = channel.stream_stream(ATTACH, None, None)(None)
        code, _ = await status_of(call.read())
        assert code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED)
        await until(lambda: "ended" in made.said, "the service's work ends")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
