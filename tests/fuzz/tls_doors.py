"""An SVM with all its doors on TCP, watched, and who comes in there: guests, nobody, administrators.

Of each story some call by certificates of their own; what they may not change is compared before and after.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lightagent.v1 import enrolment_pb2

from appliance.composition import build, chores
from appliance.config import Settings
from appliance.config_identity import IdentitySettings
from appliance.console.logs import Throttled
from appliance.control import Parts, SvmControl
from appliance.domain.caller import Caller, Role
from appliance.domain.identity import SERVER_NAME
from appliance.doors import serve_by_certificate, serve_guests
from appliance.identity import files
from appliance.identity.authority import pem_of
from appliance.identity.ending import By
from appliance.identity.issuing import Asked
from appliance.identity.keys import csr_for, key_pem, new_key
from appliance.identity.registry import Registry
from appliance.ksn_control import PolicyControl
from appliance.rpc.access import ACCESS
from tests.fuzz.hostile import OPTIONS, HostileGuest, Story
from tests.fuzz.steps import GUESTS
from tests.fuzz.watched import DOCUMENTED, LIMITS, NOT_THERE, Errors, WatchedSvm
from tests.support.identities import MACHINE, PROVIDER
from tests.support.relay import free_port
from tests.support.svm import DEADLINE, RawGuest, Svm, settings_in
from tests.support.tls_guest import TlsGuest, attach

RENEW = "/lightagent.v1.Renewal/Renew"
ENROL = "/lightagent.v1.Enrolment/Enrol"
_FOLLOWED = "/lightagent.v1.EventsAdministration/ListEvents"
_WAITS_SECONDS = 0.5  # until when a list is followed, and gRPC waits for a request that never comes
_AT_ONCE = 4  # calls of one connection, as many as the enrolment has room for; else gRPC refuses some
UUIDS = {name: f"6ba7b810-9dad-11d1-80b4-{number:012x}" for number, name in enumerate(("acme", "other"))}
DIGEST = b"d" * 32
KEYS = (new_key(), new_key())  # of whoever enrols
# The words of admin.proto, and what a client says by itself of a call that it has ended.
ADMINISTRATORS = {
    grpc.StatusCode.OK,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
Ends = list[tuple[str, grpc.StatusCode, str]]


@dataclass(frozen=True)
class Called:
    """One call: by whom (see each door), its path, what is said, message by message, as bytes."""

    who: str
    path: str
    said: tuple[bytes, ...]


@dataclass(frozen=True)
class Enrolling:
    """One call of Enrol. token: of a story's, or any text. csr: number of a key, or any bytes."""

    token: str
    csr: int | bytes
    machine: bytes
    host_name: str


@dataclass(frozen=True)
class Site:
    """The SVM, and where its doors are. ca: PEM."""

    svm: Svm
    ca: bytes

    @property
    def registry(self) -> Registry:
        """Who is who."""
        identity = self.svm.parts.identity
        assert identity is not None
        return identity.registry

    def channel(self, address: str, proof: tuple[bytes, bytes] | None = None) -> grpc.aio.Channel:
        """A connection. proof: PEM of key and certificate."""
        key, certificate = proof or (None, None)
        credentials = grpc.ssl_channel_credentials(self.ca, key, certificate)
        named = (("grpc.ssl_target_name_override", SERVER_NAME), *OPTIONS)
        return grpc.aio.secure_channel(address, credentials, named)

    async def token(self, tenant: str, uuid: str = "") -> str:
        """One that counts."""
        return (await self.registry.token(tenant, uuid, 3600, PROVIDER)).text

    async def enrolled(self, tenant: str, uuid: str = "") -> tuple[str, tuple[bytes, bytes]]:
        """A guest, and what it proves itself by."""
        key = new_key()
        made = await self.registry.enrol(await self.token(tenant, uuid), Asked(csr_for(key), MACHINE))
        return made.guest.uuid, (key_pem(key), pem_of(made.certificate))


async def end_of(
    channel: grpc.aio.Channel, path: str, said: Sequence[bytes], seconds: float
) -> tuple[grpc.StatusCode, str, list[bytes]]:
    """Call, say it all, and hear the call to its end: status, sentence, what was answered."""
    method: Any = channel.stream_stream(path, None, None)
    call, heard = method(timeout=seconds), list[bytes]()
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
        for message in said:
            await call.write(message)
        await call.done_writing()
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
        while isinstance(reply := await call.read(), bytes):
            heard.append(reply)
    return await call.code(), await call.details() or "", heard


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    """A running SVM, after svm init."""
    settings = settings_in(directory, LIMITS)
    guests, enrolment, administration = (f"127.0.0.1:{free_port()}" for _ in range(3))
    server = replace(
        settings.server, listen=f"tcp:{guests}", enrolment=enrolment, admin_listen=administration
    )
    settings = replace(settings, server=server, identity=IdentitySettings(enrolments_per_minute=10_000))
    files.make(server.state_dir, files.Wanted("probe", ["127.0.0.1"]), time.time())
    async with AsyncExitStack() as stack:
        parts = await build(settings, stack)
        await _serve(settings, parts, stack)
        ca = (server.state_dir / files.DIRECTORY / "ca.pem").read_bytes()
        yield Site(Svm(parts, settings), ca)


async def _serve(settings: Settings, parts: Parts, stack: AsyncExitStack) -> None:
    control = SvmControl(parts, "0", False, parts.witness.log.now)
    stack.push_async_callback(control.finish)
    await serve_guests(settings, parts, stack)
    await serve_by_certificate(settings, parts, control, PolicyControl(parts.ksn), stack)
    await stack.enter_async_context(chores(parts, settings, Throttled(structlog.get_logger())))


class WatchedDoors(WatchedSvm):
    """One of the doors; a guest with a certificate is beside."""

    def __init__(self, here: Site, guest: RawGuest, errors: Errors, lines: Sequence[Any]) -> None:
        super().__init__(here.svm, guest, errors, lines)
        self.here = here

    async def prepare(self) -> None:
        """Have there what the stories need."""

    @classmethod
    @asynccontextmanager
    async def making(
        cls, directory: Path, errors: Errors, lines: Sequence[Any]
    ) -> AsyncIterator["WatchedDoors"]:
        """For `watched_svm`."""
        async with site(directory) as here:
            server = here.svm.settings.server
            beside = await TlsGuest.enrol(server.enrolment, here.ca, await here.token("default"))
            async with beside.connect(server.listen.removeprefix("tcp:")) as guest:
                await attach(guest)
                watched = cls(here, guest, errors, lines)
                await watched.prepare()
                yield watched


class DoorOfGuests(WatchedDoors):
    """Guests with certificates, whose stories are those of a socket, and who renew as well."""

    def _allowed(self, path: str) -> set[grpc.StatusCode]:
        return DOCUMENTED if path == RENEW else super()._allowed(path)

    async def _ends_of(self, steps: Sequence[Any]) -> Ends:
        guests = [await self.here.enrolled(("acme", "acme", "other")[number]) for number in range(GUESTS)]
        story = TlsStory(self.here, [proof for _, proof in guests], b"story %d " % self._stories)
        try:
            ends = await story.play(steps)
            await self._asks()
        finally:
            await story.end()
        for uuid, _ in guests:
            await self.here.registry.remove_guest(uuid, By(PROVIDER))
        return ends


class TlsGuestOfStory(HostileGuest):
    """One that proves itself by its certificate."""

    def __init__(self, here: Site, proof: tuple[bytes, bytes], contents: Sequence[bytes]) -> None:
        super().__init__(here.svm.target, contents)
        self._here, self._proof = here, proof

    async def arrive(self) -> None:
        """Have a channel, if it has none."""
        if self._channel is None:
            self._channel = self._here.channel(self.target.removeprefix("tcp:"), self._proof)


class TlsStory(Story):
    """A story of such guests."""

    def __init__(self, here: Site, proofs: Sequence[tuple[bytes, bytes]], salt: bytes) -> None:
        super().__init__(here.svm.target, salt)
        self.guests = [TlsGuestOfStory(here, proof, self.contents) for proof in proofs]

    async def _connected(self) -> asyncio.StreamWriter:
        host, _, port = self._target.removeprefix("tcp:").rpartition(":")
        return (await asyncio.open_connection(host, int(port)))[1]


class DoorOfEnrolment(WatchedDoors):
    """Nobody has a certificate there, and nobody gets one without a token that counts."""

    def _allowed(self, path: str) -> set[grpc.StatusCode]:
        return DOCUMENTED if path == ENROL else DOCUMENTED | NOT_THERE

    async def _ends_of(self, steps: Sequence[Enrolling | Called]) -> Ends:
        tokens = {f"good {number}": await self.here.token("acme") for number in range(2)}
        used = tokens["used"] = await self.here.token("acme")
        await self.here.registry.enrol(used, Asked(csr_for(KEYS[0]), MACHINE))
        before = {guest.uuid for guest in self.here.registry.guests("")}
        async with self.here.channel(self.here.svm.settings.server.enrolment) as channel:
            places = asyncio.Semaphore(_AT_ONCE)

            async def call(step: Enrolling | Called) -> Any:
                async with places:
                    return await self._call(channel, step, tokens)

            ends = await asyncio.gather(*map(call, steps))
        after = {guest.uuid for guest in self.here.registry.guests("")}
        certificates = {
            heard[0] for _, _, heard, step in ends if heard and _token_of(step).startswith("good")
        }
        names = {enrolment_pb2.Enrolled.FromString(reply).guest for reply in certificates}
        assert after - before == names, f"enrolled: {after - before}, told: {names}"
        assert len(names) <= 2, "a token was good twice"
        for uuid in names:
            await self.here.registry.remove_guest(uuid, By(PROVIDER))
        return [(path, status, sentence) for path, (status, sentence), _, _ in ends]

    async def _call(
        self, channel: grpc.aio.Channel, step: Enrolling | Called, tokens: dict[str, str]
    ) -> tuple[str, tuple[grpc.StatusCode, str], list[bytes], Enrolling | Called]:
        path, said = (step.path, step.said) if isinstance(step, Called) else (ENROL, ())
        if isinstance(step, Enrolling):
            csr = step.csr if isinstance(step.csr, bytes) else csr_for(KEYS[step.csr])
            request = enrolment_pb2.EnrolRequest(
                token=tokens.get(step.token, step.token), csr=csr, machine=step.machine
            )
            request.host_name = step.host_name
            said = (request.SerializeToString(),)
        status, sentence, heard = await end_of(channel, path, said, DEADLINE)
        if path == ENROL and (status is grpc.StatusCode.OK or heard):
            self._is_earned(step, heard)
        return path, (status, sentence), heard, step

    def _is_earned(self, step: Enrolling | Called, heard: list[bytes]) -> None:
        """What is told is a certificate of the key that was asked for, by a token that counts."""
        assert isinstance(step, Enrolling), f"{step} got a certificate"
        assert step.token in ("good 0", "good 1") or (step.token, step.csr) == ("used", 0), f"{step} got one"
        (reply,) = map(enrolment_pb2.Enrolled.FromString, heard)
        made = x509.load_der_x509_certificate(reply.certificate).public_key()
        asked = step.csr if isinstance(step.csr, bytes) else csr_for(KEYS[step.csr])
        assert isinstance(made, ec.EllipticCurvePublicKey)
        assert made == x509.load_der_x509_csr(asked).public_key()
        assert self.here.registry.caller(pem_of(reply.certificate)).tenant == "acme"


def _token_of(step: Enrolling | Called) -> str:
    return step.token if isinstance(step, Enrolling) else ""


WHO = {
    "auditor": Caller("otto", Role.AUDITOR),
    "auditor of acme": Caller("olga", Role.AUDITOR, "acme"),
    "administrator of acme": Caller("anna", Role.TENANT_ADMIN, "acme"),
}
_READ_ONLY = {name for name, caller in WHO.items() if caller.role is Role.AUDITOR}


class DoorOfAdministrators(WatchedDoors):
    """Auditors change nothing, and an administrator of one tenant nothing of another's."""

    async def prepare(self) -> None:
        """Have certificates for those who call, and something of each tenant."""
        self._proofs: dict[str, tuple[bytes, bytes]] = {}
        for name, caller in WHO.items():
            key = new_key()
            issued = await self.here.registry.issue(caller, csr_for(key), PROVIDER)
            self._proofs[name] = key_pem(key), pem_of(issued.der)

    def _allowed(self, path: str) -> set[grpc.StatusCode]:
        return ADMINISTRATORS if path in ACCESS else NOT_THERE

    async def _ends_of(self, steps: Sequence[Called]) -> Ends:
        for tenant, uuid in UUIDS.items():
            if self.here.registry.known(uuid) is None:
                await self.here.enrolled(tenant, uuid)
        await asyncio.sleep(0)
        before = self.rows("")
        ends = await self._played([step for step in steps if step.who in _READ_ONLY])
        assert self.rows("") == before, "an auditor changed something"
        before = self.rows("acme")
        ends += await self._played([step for step in steps if step.who not in _READ_ONLY])
        assert self.rows("acme") == before, "something of others was changed"
        return ends

    async def _played(self, steps: Sequence[Called]) -> Ends:
        async with AsyncExitStack() as stack:
            where = self.here.svm.settings.server.admin_listen
            channels = {
                who: await stack.enter_async_context(self.here.channel(where, self._proofs[who]))
                for who in {step.who for step in steps}
            }
            places = asyncio.Semaphore(_AT_ONCE)
            ended = await asyncio.gather(*(self._call(channels[step.who], step, places) for step in steps))
        return list(ended)

    async def _call(
        self, channel: grpc.aio.Channel, step: Called, places: asyncio.Semaphore
    ) -> tuple[str, grpc.StatusCode, str]:
        async with places:
            waits = step.path == _FOLLOWED or not step.said
            seconds = _WAITS_SECONDS if waits else DEADLINE
            status, sentence, _ = await end_of(channel, step.path, step.said, seconds)
        return step.path, status, sentence

    def rows(self, without: str) -> dict[str, dict[bytes, bytes]]:
        """What is in the state, but for what is a tenant's own: table, key, record."""
        found: dict[str, dict[bytes, bytes]] = {}
        environment = self.here.svm.parts.state.environment
        scope = self.here.svm.parts.sight.tenants.scope_of("acme")
        for name in ("overrides", "audit", "tenants", "policies", "decisions", "tokens", "guests", "scans",
                     "certificates", "positions", "ledger"):  # fmt: skip
            table = environment.table(name.encode())
            with environment.reading() as txn:
                found[name] = {
                    bytes(key): bytes(data)
                    for key, data in txn.cursor(db=table)
                    if not without or not _is_of(without, scope, bytes(key), bytes(data))
                }
        return found


def _is_of(tenant: str, scope: int | None, key: bytes, data: bytes) -> bool:
    """Whether a record of the state is a tenant's own."""
    fields = json.loads(data[:-8])
    named = fields.get("tenant") == tenant or f"/{tenant}/" in fields.get("holder", "")
    of_override = scope is not None and len(key) == 36 and key.startswith(scope.to_bytes(4, "big"))
    return named or of_override or key == tenant.encode()
