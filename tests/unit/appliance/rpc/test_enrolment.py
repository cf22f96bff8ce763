"""The services Enrolment and Renewal over real gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from lightagent.v1 import enrolment_pb2, enrolment_pb2_grpc
from lightagent.v1.enrolment_pb2 import EnrolRequest, RenewRequest

from appliance.config_identity import IdentitySettings
from appliance.domain.caller import Caller, Role
from appliance.identity.authority import pem_of
from appliance.identity.ending import By
from appliance.identity.issuing import NoRoom
from appliance.identity.keys import csr_for, new_key
from appliance.identity.tokens import digest_of
from appliance.rpc import enrolment as module
from appliance.rpc.enrolment import EnrolmentService, network_of
from appliance.state.environment import FILE, StateError, packed
from tests.support.identities import DAY, MACHINE, OTHER_MACHINE, PROVIDER, Office, office, shown
from tests.support.svm import DEADLINE, until

KEY = new_key()
CSR = csr_for(KEY)
TERMS = IdentitySettings(enrolments_per_minute=5)


@dataclass
class Door:
    """A server with both services, and what a test sets. shown: the certificate of whoever renews.

    now: monotonic seconds. slept: for how long a refusal was held back.
    """

    office: Office
    shown: bytes = b""
    now: float = 100.0
    slept: list[float] = field(default_factory=list)
    service: EnrolmentService = field(init=False)
    enrolment: Any = None
    renewal: Any = None
    channel: Any = None
    target: str = ""

    def __post_init__(self) -> None:
        self.service = EnrolmentService(
            self.office.registry,
            self.office.terms,
            self.office.clock,
            lambda: self.now,
            self._sleep,
            lambda _context: self.shown,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def token(self, tenant: str = "acme", seconds: int = 3600) -> str:
        """One that counts."""
        return self.office.issuer.token(tenant, "", seconds, PROVIDER).text

    async def enrol(self, token: str, csr: bytes = CSR, machine: bytes = MACHINE) -> enrolment_pb2.Enrolled:
        """Call Enrol."""
        request = EnrolRequest(token=token, csr=csr, machine=machine, host_name="vm\x1b")
        reply: enrolment_pb2.Enrolled = await self.enrolment.Enrol(request, timeout=DEADLINE)
        return reply

    async def renew(self, csr: bytes = CSR, machine: bytes = MACHINE) -> enrolment_pb2.Enrolled:
        """Call Renew."""
        request = RenewRequest(csr=csr, machine=machine)
        reply: enrolment_pb2.Enrolled = await self.renewal.Renew(request, timeout=DEADLINE)
        return reply


@asynccontextmanager
async def door(directory: Path, terms: IdentitySettings = TERMS) -> AsyncIterator[Door]:
    """A running one, on TCP: addresses are counted."""
    async with AsyncExitStack() as stack:
        made = Door(stack.enter_context(office(directory, terms=terms)))
        server = grpc.aio.server()
        made.service.add_enrolment_to(server)
        made.service.add_renewal_to(server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, 0)
        stack.push_async_callback(made.office.registry.finish)
        made.target = f"127.0.0.1:{port}"
        made.channel = await stack.enter_async_context(grpc.aio.insecure_channel(made.target))
        made.enrolment = enrolment_pb2_grpc.EnrolmentStub(made.channel)
        made.renewal = enrolment_pb2_grpc.RenewalStub(made.channel)
        yield made


async def refused(work: Any) -> tuple[grpc.StatusCode, str]:
    """How a call that must not succeed ended."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await work
    return caught.value.code(), caught.value.details() or ""


async def test_a_guest_enrols(tmp_path: Path) -> None:
    """It is told who it is, up to the authority that it knows, and when to renew."""
    async with door(tmp_path) as here:
        reply = await here.enrol(here.token())
        guest = here.office.registry.guest(pem_of(reply.certificate))
        assert (reply.guest, reply.tenant) == (guest.id, "acme")
        assert list(reply.chain) == here.office.authority.chain
        assert reply.ends.seconds == here.office.now + 30 * DAY
        assert reply.renew_after.seconds == 20 * DAY
        known = here.office.registry.known(guest.id)
        assert known is not None
        assert (known[0].host_name, known[0].machine) == ("vm?", MACHINE)


async def test_every_token_that_does_not_count_is_refused_alike(tmp_path: Path) -> None:
    """One sentence, at one time after the call: unknown, used, over, revoked, withdrawn, of another shape."""
    async with door(tmp_path) as here:
        used, over, revoked = here.token(), here.token(seconds=60), here.token()
        await here.enrol(used)
        reply = await here.enrol(revoked)
        here.office.ender.remove_guest(reply.guest, By(PROVIDER))
        withdrawn = here.token()
        here.office.ender.withdraw(digest_of(withdrawn), By(PROVIDER))
        here.office.now += 60
        said, here.slept = set(), []
        for token in ("kvmla1_" + "A" * 43, "x", used, over, revoked, withdrawn):
            here.now += 60
            said.add(await refused(here.enrol(token, csr_for(new_key()))))
        assert len(said) == 1
        assert said.pop()[0] is grpc.StatusCode.UNAUTHENTICATED
        assert here.slept == [module.REFUSAL_SECONDS] * 6
        assert here.office.registry.counts["refused"] == 6


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (EnrolRequest(token="", csr=CSR), "token has 0"),
        (EnrolRequest(token="x" * 129, csr=CSR), "token has 129"),
        (EnrolRequest(token="x", csr=b""), "csr has 0"),
        (EnrolRequest(token="x", csr=b"x" * 4097), "csr has 4097"),
        (EnrolRequest(token="x", csr=CSR, machine=b"x"), "machine has 1"),
        (EnrolRequest(token="x", csr=CSR, host_name="x" * 20_000), "send at most"),
    ],
)
async def test_what_breaks_a_rule_of_the_wire_is_refused_at_once(
    tmp_path: Path, request_: EnrolRequest, why: str
) -> None:
    """Whether the token counts is not so much as looked up."""
    async with door(tmp_path) as here:
        status, sentence = await refused(here.enrolment.Enrol(request_, timeout=DEADLINE))
        assert (status, why in sentence) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        assert here.slept == []
        assert here.service.counts["malformed"] == 1


async def test_bytes_that_are_no_message_are_refused(tmp_path: Path) -> None:
    """By whoever sends them; so is a call without a message."""
    async with door(tmp_path) as here:
        call = here.channel.unary_unary("/lightagent.v1.Enrolment/Enrol")
        status, _ = await refused(call(b"\xff\xff\xff", timeout=DEADLINE))
        assert status is grpc.StatusCode.INVALID_ARGUMENT
        status, _ = await refused(call(b"", timeout=DEADLINE))
        assert status is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_request_that_is_none_leaves_the_token_as_it_was(tmp_path: Path) -> None:
    """Who holds it may try again."""
    async with door(tmp_path) as here:
        token = here.token()
        assert (await refused(here.enrol(token, b"no request")))[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert (await here.enrol(token)).tenant == "acme"
        assert (await here.enrol(token)).tenant == "acme"  # the same key: an answer may get lost


async def test_an_address_enrols_so_many_times_a_minute(tmp_path: Path) -> None:
    """Tokens that do not count among them; then it waits, and learns nothing of a token."""
    async with door(tmp_path) as here:
        for _ in range(5):
            assert (await refused(here.enrol("x")))[0] is grpc.StatusCode.UNAUTHENTICATED
        token = here.token()
        for tried in (token, "x"):
            assert (await refused(here.enrol(tried)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert here.service.counts["enrolments_per_minute"] == 2
        here.now += 12
        assert (await here.enrol(token)).tenant == "acme"
        assert (await refused(here.enrol("x")))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_two_at_once_with_one_token_get_one_certificate(tmp_path: Path) -> None:
    """Whoever comes second is refused."""
    async with door(tmp_path) as here:
        token = here.token()
        both = await asyncio.gather(
            *(here.enrol(token, csr_for(new_key())) for _ in range(4)), return_exceptions=True
        )
        assert sum(isinstance(each, enrolment_pb2.Enrolled) for each in both) == 1
        assert len(list(here.office.registry.certificates())) == 1


async def test_a_guest_renews_over_its_certificate(tmp_path: Path) -> None:
    """Only on its own machine, and not without end."""
    async with door(tmp_path) as here:
        here.shown = shown(here.office.enrolled("acme"))
        here.office.now += 20 * DAY
        for _ in range(5):
            reply = await here.renew()
        assert reply.ends.seconds == here.office.now + 30 * DAY
        status, sentence = await refused(here.renew(machine=OTHER_MACHINE))
        assert (status, "another machine" in sentence) == (grpc.StatusCode.UNAUTHENTICATED, True)
        status, sentence = await refused(here.renew())
        assert (status, "6 times in an hour" in sentence) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
        assert (here.service.counts["renewals_per_hour"], here.service.counts["malformed"]) == (1, 0)
        here.now += 600
        assert (await here.renew()).guest == reply.guest


async def test_what_does_not_count_renews_nothing(tmp_path: Path) -> None:
    """Revoked, an administrator's, unknown."""
    async with door(tmp_path) as here:
        guest = here.office.enrolled()
        here.office.ender.revoke_guest(guest.guest.uuid, By(PROVIDER))
        administrator = here.office.issuer.issue(PROVIDER, CSR, PROVIDER)
        for certificate in (shown(guest), pem_of(administrator.der), b"x"):
            here.shown = certificate
            assert (await refused(here.renew()))[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_a_full_register_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is as good as before."""
    async with door(tmp_path) as here:
        token = here.token()
        with monkeypatch.context() as patched:
            patched.setattr("appliance.identity.issuing.MAX_GUESTS", 0)
            assert (await refused(here.enrol(token)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert here.office.registry.counts["no_room"] == 1
        assert (await here.enrol(token)).tenant == "acme"


async def test_a_tenant_that_has_all_that_it_may_is_counted_by_the_setting(tmp_path: Path) -> None:
    """For guests, and for tokens."""
    async with door(tmp_path, replace(TERMS, tenant_guests=1, tenant_tokens=2)) as here:
        first, second = here.token(), here.token()
        with pytest.raises(NoRoom, match=r"identity\.tenant_tokens"):
            await here.office.registry.token("acme", "", 60, Caller("ann", Role.TENANT_ADMIN, "acme"))
        assert (await here.enrol(first)).tenant == "acme"
        status, sentence = await refused(here.enrol(second))
        assert (status, "identity.tenant_guests" in sentence) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
        counts = here.office.registry.counts
        assert (counts["over_tenant_guests"], counts["over_tenant_tokens"], counts["no_room"]) == (1, 1, 0)


async def test_a_disk_that_cannot_be_written_is_no_guests_affair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to come back; where the state lies is not its to know."""
    async with door(tmp_path) as here:
        token = here.token()

        def full(*_args: object) -> None:
            raise StateError(f"{tmp_path / FILE} cannot be written")

        with monkeypatch.context() as patched:
            patched.setattr(here.office.issuer, "enrol", full)
            status, sentence = await refused(here.enrol(token))
        assert (status, str(tmp_path) in sentence) == (grpc.StatusCode.UNAVAILABLE, False)
        assert (await here.enrol(token)).tenant == "acme"


async def test_an_authority_that_has_ended_is_a_failure_of_now(tmp_path: Path) -> None:
    """It is made anew by whoever runs the SVM: the token is as good as before, the guest comes back."""
    async with door(tmp_path) as here:
        here.office.now += 11 * 365 * DAY
        assert (await refused(here.enrol(here.token())))[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_damaged_register_lets_nobody_in_and_ends_calls_as_documented(tmp_path: Path) -> None:
    """Whoever is in it is not known, and nobody new comes in."""
    async with door(tmp_path) as here:
        token = here.token()
        here.shown = pem_of((await here.enrol(here.token())).certificate)
        with here.office.environment.writing() as txn:
            for db in (here.office.store.certificates_db, here.office.store.tokens_db):
                for key, _ in list(txn.cursor(db=db)):
                    txn.put(bytes(key), packed({"odd": 1}), db=db)
        assert (await refused(here.enrol(token)))[0] is grpc.StatusCode.UNAVAILABLE
        assert (await refused(here.renew()))[0] is grpc.StatusCode.UNAUTHENTICATED


async def silent_calls(here: Door, count: int) -> list[grpc.aio.StreamStreamCall[Any, Any]]:
    """Calls of one connection that say nothing; each has a place."""
    call = here.channel.stream_stream("/lightagent.v1.Enrolment/Enrol")
    silent = [call(timeout=DEADLINE) for _ in range(count)]
    for each in silent:
        await each.wait_for_connection()
    await until(lambda: len(here.service._places._places) == count, "each has a place")
    return silent


async def test_who_calls_and_says_nothing_keeps_nobody_out(tmp_path: Path) -> None:
    """Places are few, and go to who comes later; that one made way is counted."""
    async with door(tmp_path, replace(TERMS, enrolments_at_once=3)) as here:
        silent = await silent_calls(here, 3)
        assert here.service.counts["enrolments_at_once"] == 0
        assert (await here.enrol(here.token())).tenant == "acme"
        assert here.service.counts["enrolments_at_once"] == 1
        for each in silent:
            each.cancel()


async def test_a_connection_has_so_many_open_and_no_more(tmp_path: Path) -> None:
    """What is over that takes nobody's place, and is counted; another connection is answered."""
    async with door(tmp_path, replace(TERMS, enrolments_per_connection=2)) as here:
        silent = await silent_calls(here, 2)
        status, sentence = await refused(here.enrol(here.token()))
        assert (status, "2 calls open" in sentence) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
        assert here.service.counts["enrolments_per_connection"] == 1
        assert len(here.service._places._places) == 2
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(here.target, options) as other:
            request = EnrolRequest(token=here.token(), csr=CSR, machine=MACHINE)
            reply = await enrolment_pb2_grpc.EnrolmentStub(other).Enrol(request, timeout=DEADLINE)
            assert reply.tenant == "acme"
        silent[0].cancel()
        await until(lambda: len(here.service._places._places) == 1, "one has gone")
        assert (await here.enrol(here.token())).tenant == "acme"
        silent[1].cancel()


class Peer:
    """A context that knows its peer."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        """As gRPC writes it."""
        return self._peer


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("ipv4:10.0.0.1:5", "10.0.0.1"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:5", "2001:db8:1:2::"),
        ("ipv6:%5B::ffff:10.0.0.1%5D:5", "10.0.0.1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:5", "fe80::"),
        ("unix:", ""),
    ],
)
def test_an_address_is_a_network_where_one_has_many(peer: str, network: str) -> None:
    """Of IPv6 each machine has more addresses than could be counted."""
    assert network_of(Peer(peer)) == network  # type: ignore[arg-type]
