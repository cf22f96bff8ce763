"""Who is who, end to end: a real svm init, svm serve on TCP, real TLS, svm commands over both doors."""

import asyncio
import hashlib
import signal
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lightagent.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    enrolment_pb2,
    enrolment_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    verdict_pb2,
)

from appliance.domain.caller import Caller, Role
from appliance.domain.identity import SERVER_NAME
from appliance.identity.authority import pem_of
from appliance.identity.files import load
from appliance.identity.keys import key_pem, new_key
from appliance.identity.registry import sha256_of
from tests.support.commands import Ran, svm_program
from tests.support.held_files import until
from tests.support.identities import OTHER_MACHINE
from tests.support.relay import free_port
from tests.support.svm import DEADLINE, RawGuest
from tests.support.svm_process import SvmProcess, svm_process, write_config
from tests.support.tls_guest import TlsGuest, attach, ended

KSN_INFO = "/lightagent.v1.Protection/KsnInfo"
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


@dataclass
class Site:
    """An SVM with all its doors."""

    directory: Path
    guests: str
    enrolment: str
    admin: str
    process: SvmProcess | None = None

    @property
    def listen(self) -> str:
        """Where it takes guests, as the settings have it."""
        return f"tcp:{self.guests}"

    @property
    def doors(self) -> str:
        """The other doors, as the settings have them."""
        return f'enrolment = "{self.enrolment}"\nadmin_listen = "{self.admin}"'

    @property
    def ca(self) -> bytes:
        """The authority that everybody knows."""
        return (self.directory / "state/identity/ca.pem").read_bytes()

    async def svm(self, *arguments: object) -> Ran:
        """Run a command against it, on its socket unless told otherwise."""
        where = () if "--server" in arguments else ("--socket", self.directory / "admin.sock")
        return await asyncio.to_thread(svm_program, *arguments, *where)

    async def token(self, *options: object) -> str:
        """One for a guest."""
        ran = await self.svm("guests", "token", "--json", *options)
        assert ran.code == 0, ran.err
        return str(ran.json["token"])

    async def enrolled(self, *options: object) -> TlsGuest:
        """A guest that has enrolled."""
        return await TlsGuest.enrol(self.enrolment, self.ca, await self.token(*options))


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    """A running one."""
    guests, enrolment, admin = (f"127.0.0.1:{free_port()}" for _ in range(3))
    made = Site(directory, guests, enrolment, admin)
    config = write_config(directory, listen=made.listen, doors=made.doors)
    ran = await asyncio.to_thread(
        svm_program, "init", "--config", config, "--address", "127.0.0.1", "--name", "one"
    )
    assert ran.code == 0, ran.err
    with svm_process(directory, listen=made.listen, doors=made.doors) as made.process:
        yield made


async def check(guest: Any, digest: bytes) -> verdict_pb2.Outcome.ValueType:
    """What the SVM says of a digest."""
    reply = await guest.ask(digest)
    outcome: verdict_pb2.Outcome.ValueType = reply.outcomes[0]
    return outcome


async def test_a_guest_enrols_asks_renews_and_is_revoked(tmp_path: Path) -> None:
    """All its calls over its certificate: cut when that is revoked, and never let in again."""
    async with site(tmp_path) as here:
        guest = await here.enrolled("--tenant", "acme")
        async with guest.connect(here.guests) as line:
            stream = await attach(line)
            assert await check(line, hashlib.sha256(b"x").digest()) == verdict_pb2.OUTCOME_CONTENT_NEEDED
            said = (await here.svm("guests", "list", "--json")).json
            assert [(each["guest"], each["attached"], each["tenant"]) for each in said] == [
                (guest.uuid, True, "acme")
            ]
            assert said[0]["certificate"] == "good"
            newer = await guest.renew(here.guests, new_key())
            assert newer.uuid == guest.uuid
            async with newer.connect(here.guests, "1" * 16) as newer_line:
                newer_stream = await attach(newer_line)
                assert (await ended(stream))[0] is grpc.StatusCode.ABORTED
                ran = await here.svm("guests", "revoke", guest.uuid, "--reason", "stolen")
                assert ran.code == 0, ran.err
                code, why = await ended(newer_stream)
                assert (code, "revoked" in why) == (UNAUTHENTICATED, True)
        for revoked in (guest, newer):
            async with revoked.connect(here.guests) as line:
                line.attach = line.stub.Attach(metadata=line.metadata)
                assert (await ended(line.attach))[0] is UNAUTHENTICATED
        events = (await here.svm("events", "--kind", "identity", "--json")).json
        assert [each["text"].split(":")[0] for each in events] == ["token", "enrolled", "renewed", "revoked"]


async def test_a_connection_enrols_so_many_at_once_at_the_door(tmp_path: Path) -> None:
    """One more is refused with a sentence, and counted; health is answered beside, and another connection."""
    async with site(tmp_path) as here:
        credentials, named = (
            grpc.ssl_channel_credentials(here.ca),
            (("grpc.ssl_target_name_override", SERVER_NAME),),
        )
        async with grpc.aio.secure_channel(here.enrolment, credentials, named) as channel:
            method = "/lightagent.v1.Enrolment/Enrol"
            call: Any = channel.stream_stream(method, request_serializer=None, response_deserializer=None)
            silent = [call() for _ in range(4)]
            for each in silent:
                await each.wait_for_connection()
            with pytest.raises(grpc.aio.AioRpcError, match="4 calls open, which is all"):
                await enrolment_pb2_grpc.EnrolmentStub(channel).Enrol(enrolment_pb2.EnrolRequest(token="x"))
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert (await here.enrolled()).uuid
            figures = (await here.svm("status", "--json")).json["figures"]
            assert figures["identity_over_enrolments_per_connection"] == 1
            for each in silent:
                each.cancel()


async def test_nobody_gets_in_by_any_door_but_his_own(tmp_path: Path) -> None:
    """Without a certificate, with another authority's, with a guest's at the administrators' and back."""
    other = Path(tempfile.mkdtemp(dir=tmp_path))
    async with site(tmp_path) as here, site(other) as there:
        guest, stranger = await here.enrolled(), await there.enrolled()
        stranger.ca = here.ca
        for nobody in (stranger.channel(here.guests), _without(here)):
            async with nobody as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await channel.unary_unary(KSN_INFO, None, None)(b"", timeout=DEADLINE)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        async with guest.channel(here.admin) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await admin_pb2_grpc.AdministrationStub(channel).GetStatus(admin_pb2.GetStatusRequest())
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        administrator = _administrator(here)
        async with administrator.channel(here.guests) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(KSN_INFO, None, None)(b"", timeout=DEADLINE)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        async with administrator.channel(here.admin) as channel:
            await admin_pb2_grpc.AdministrationStub(channel).GetStatus(admin_pb2.GetStatusRequest())


def _without(here: Site) -> grpc.aio.Channel:
    """A connection on which nothing is proved."""
    named = (("grpc.ssl_target_name_override", SERVER_NAME),)
    return grpc.aio.secure_channel(here.guests, grpc.ssl_channel_credentials(here.ca), named)


def _administrator(here: Site, directory: Path | None = None) -> TlsGuest:
    """One by the directory with its identity, or the first, by what svm init has made."""
    directory = directory or here.directory / "state/identity"
    key = load_pem_private_key((directory / "administrator.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return TlsGuest(here.ca, key, (directory / "administrator.pem").read_bytes(), "")


async def test_a_guests_certificate_stands_for_no_svm(tmp_path: Path) -> None:
    """A guest that waits where others look for the SVM is not believed, whatever it shows."""
    async with site(tmp_path) as here:
        guest = await here.enrolled()
        server = grpc.aio.server()
        pair = (key_pem(guest.key), guest.certificate + here.ca)
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        await server.start()
        try:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await TlsGuest.enrol(f"127.0.0.1:{port}", here.ca, "kvmla1_x")
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        finally:
            await server.stop(0)


async def test_who_has_the_authoritys_key_but_no_entry_is_nobody(tmp_path: Path) -> None:
    """Whatever is signed counts only where it stands in the register."""
    async with site(tmp_path) as here:
        identity = load(tmp_path / "state")
        assert identity is not None
        key = new_key()
        forged = identity.authority.issue(key.public_key(), Caller("eve", Role.PROVIDER), time.time(), 30)
        async with TlsGuest(here.ca, key, pem_of(forged.der), "").channel(here.admin) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await admin_pb2_grpc.AdministrationStub(channel).GetStatus(admin_pb2.GetStatusRequest())
        assert refused.value.code() is UNAUTHENTICATED
        assert "not in the SVM's register" in (refused.value.details() or "")


async def take_turns(*copies: RawGuest) -> None:
    """Attach by turns, each with a boot id of its own, as long as each is let in."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        for number, copy in enumerate(copies):
            await attach(copy, "BA"[number])
            await asyncio.sleep(0.2)  # a stub waits before it comes back


async def test_a_copy_is_turned_away_by_its_machine_and_ended_where_it_cannot_be_told(tmp_path: Path) -> None:
    """The first goes on where the copy says another machine; both end where they take turns."""
    async with site(tmp_path) as here:
        guest = await here.enrolled()
        async with (
            guest.connect(here.guests, "a" * 16) as first,
            guest.connect(here.guests, "b" * 16) as copy,
        ):
            stream = await attach(first, "A")
            with pytest.raises(grpc.aio.AioRpcError, match="another machine"):
                await attach(copy, "B", OTHER_MACHINE)
            assert await check(first, hashlib.sha256(b"x").digest()) == verdict_pb2.OUTCOME_CONTENT_NEEDED
            assert not stream.done()
            with pytest.raises(grpc.aio.AioRpcError, match="enrol anew"):
                await take_turns(copy, first)
        events = (await here.svm("events", "--kind", "clone", "--json")).json
        assert [each["guest"] for each in events] == [guest.uuid] * 2
        assert (await here.svm("guests", "show", guest.uuid, "--json")).json["state"] == "cloned"


async def test_an_administrator_works_from_elsewhere_until_revoked(tmp_path: Path) -> None:
    """With the certificate that another has issued; a stream of his is cut as well."""
    async with site(tmp_path) as here:
        who = ("--role", "tenant-admin", "--tenant", "acme", "--name", "anna", "--out", tmp_path / "anna")
        assert (await here.svm("certificates", "issue", *who)).code == 0
        remote = ("--server", here.admin, "--identity", tmp_path / "anna")
        made = await here.svm("guests", "token", "--json", *remote)
        assert (made.code, made.json["tenant"]) == (0, "acme")
        denied = await here.svm("guests", "token", "--tenant", "umbrella", *remote)
        assert (denied.code, "no tenant 'umbrella' is known" in denied.err) == (2, True)
        denied = await here.svm(
            "certificates", "issue", "--role", "provider", "--name", "x", "--out", tmp_path / "x", *remote
        )
        assert (denied.code, "may not call" in denied.err) == (2, True)
        listed = (await here.svm("certificates", "list", "--json")).json
        (anna,) = [each for each in listed if each["name"] == "anna"]
        assert {each["name"] for each in listed} == {"anna", "administrator"}
        following = asyncio.get_running_loop().create_task(here.svm("events", "--follow", *remote))
        await asyncio.sleep(0)
        assert (await here.svm("certificates", "revoke", anna["sha256"][:16])).code == 0
        ran = await asyncio.wait_for(following, DEADLINE)
        assert ran.code == 2
        again = await here.svm("guests", "token", *remote)
        assert (again.code, "revoked" in again.err) == (2, True)


async def read_all(stream: Any) -> None:
    """Read what comes. Raises AioRpcError where it ends so."""
    while await stream.read():  # what ends a stream is no message, and false
        pass


async def test_an_older_certificate_is_revoked_and_the_newer_ones_calls_go_on(tmp_path: Path) -> None:
    """Of an administrator who has both; the newer one's stream tells of it."""
    async with site(tmp_path) as here, AsyncExitStack() as stack:
        streams, request = [], events_pb2.ListEventsRequest(limit=1, follow=True)
        for each in ("older", "newer"):
            who = ("--role", "provider", "--name", "bob", "--out", tmp_path / each)
            assert (await here.svm("certificates", "issue", *who)).code == 0
            holder = _administrator(here, tmp_path / each)
            channel = await stack.enter_async_context(holder.channel(here.admin))
            streams.append(events_pb2_grpc.EventsAdministrationStub(channel).ListEvents(request))
            assert await asyncio.wait_for(streams[-1].read(), DEADLINE)
        older = sha256_of((tmp_path / "older/administrator.pem").read_bytes()).hex()
        ran = await here.svm("certificates", "revoke", older, "--reason", "replaced")
        assert ran.code == 0, ran.err
        with pytest.raises(grpc.aio.AioRpcError, match="revoked"):
            await asyncio.wait_for(read_all(streams[0]), DEADLINE)
        told: Any = await asyncio.wait_for(streams[1].read(), DEADLINE)
        while not any("replaced" in event.text for event in told.events):  # what came before comes before
            told = await asyncio.wait_for(streams[1].read(), DEADLINE)
        assert not streams[1].done()
        streams[1].cancel()


async def test_with_a_host_agents_certificate_go_the_tokens_that_it_keeps(tmp_path: Path) -> None:
    """Also those that it asks for all the time meanwhile: none of its own is left that nobody has used."""
    async with site(tmp_path) as here, AsyncExitStack() as stack:
        who = ("--role", "host-agent", "--name", "h", "--out", tmp_path / "h")
        assert (await here.svm("certificates", "issue", *who)).code == 0
        others = await here.token()
        channel = await stack.enter_async_context(_administrator(here, tmp_path / "h").channel(here.admin))
        stub, kept = identity_pb2_grpc.IdentityAdministrationStub(channel), list[str]()

        async def make_until_revoked() -> None:
            code = None
            while code is not UNAUTHENTICATED:
                try:
                    kept.append((await stub.CreateToken(identity_pb2.CreateTokenRequest())).token)
                except grpc.aio.AioRpcError as error:  # at times all that it may have
                    code = error.code()

        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as makers:
            for _ in range(3):
                makers.create_task(make_until_revoked())
            await until(lambda: len(kept) > 10)
            sha256 = sha256_of((tmp_path / "h/administrator.pem").read_bytes()).hex()
            ran = await here.svm("certificates", "revoke", sha256)
            assert (ran.code, "of that author went with it" in ran.out) == (0, True), ran.err
        left = (await here.svm("guests", "tokens", "--json")).json
        assert [token["author"] for token in left if "host-agent" in token["author"]] == []
        with pytest.raises(grpc.aio.AioRpcError):
            await TlsGuest.enrol(here.enrolment, here.ca, kept[0])
        assert await TlsGuest.enrol(here.enrolment, here.ca, others)


async def test_nothing_of_the_register_is_lost_by_a_kill(tmp_path: Path) -> None:
    """What was answered counts after it; a token that was used is used, but for an answer got lost."""
    async with site(tmp_path) as here:
        token, key = await here.token(), new_key()
        guest = await TlsGuest.enrol(here.enrolment, here.ca, token, key)
        revoked = await here.enrolled()
        assert (await here.svm("guests", "revoke", revoked.uuid)).code == 0
        assert here.process is not None
        here.process.signal(signal.SIGKILL)
        here.process.wait()
        with svm_process(tmp_path, listen=here.listen, doors=here.doors):
            again = await TlsGuest.enrol(here.enrolment, here.ca, token, key)
            assert (again.uuid, again.certificate) == (guest.uuid, guest.certificate)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await TlsGuest.enrol(here.enrolment, here.ca, token)
            assert refused.value.code() is UNAUTHENTICATED
            async with guest.connect(here.guests) as line:
                await attach(line)
            async with revoked.connect(here.guests) as line:
                line.attach = line.stub.Attach(metadata=line.metadata)
                assert (await ended(line.attach))[0] is UNAUTHENTICATED


async def test_a_handshake_shows_the_authority_that_was_announced(tmp_path: Path) -> None:
    """So that a guest that knows its SHA-256 finds it in the chain, before it trusts anything."""
    async with site(tmp_path) as here:
        made = (await here.svm("guests", "token", "--json")).json
        assert made["enrolment"] == here.enrolment
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=here.ca.decode())
        context.set_alpn_protocols(["h2"])
        host, port = here.enrolment.split(":")
        opening = asyncio.open_connection(host, int(port), ssl=context, server_hostname=SERVER_NAME)
        _, writer = await asyncio.wait_for(opening, DEADLINE)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        writer.transport.abort()
        known = hashlib.sha256(ssl.PEM_cert_to_DER_cert(here.ca.decode())).hexdigest()
        assert made["authority_sha256"] == known
