"""The IdentityAdministration service over real gRPC, asked by a client that does not keep the rules."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from lightagent.v1 import identity_pb2 as pb
from lightagent.v1 import identity_pb2_grpc

from appliance.config_limits import Limits, TenantLimits
from appliance.domain.caller import Caller, Role
from appliance.domain.identity import Certificate
from appliance.identity.authority import pem_of
from appliance.identity.issuing import TokenRefused
from appliance.identity.keys import csr_for, key_sha256, new_key
from appliance.rpc.admin_turns import Turns
from appliance.rpc.identity_admin import IdentityAdministrationService, IdentityView
from appliance.rpc.places import NoPlace
from tests.support.admin_side_server import Caller as Client
from tests.support.admin_side_server import refused
from tests.support.identities import DAY, OF_ACME, PROVIDER, UUID, asked, office
from tests.support.identity_side_server import IdentitySide, identity_side

DENIED, BAD = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def side(tmp_path: Path) -> Iterator[IdentitySide]:
    """A running administration side."""
    with identity_side(tmp_path) as running:
        yield running


@pytest.fixture
def client(side: IdentitySide) -> Iterator[Client]:
    """Somebody who may call."""
    somebody = Client(side, identity_pb2_grpc.IdentityAdministrationStub)
    yield somebody
    somebody.close()


def test_a_token_is_made_for_an_hour_and_says_where_to_go(side: IdentitySide, client: Client) -> None:
    """With what the SVM is known by; it enrols a guest of the tenant."""
    made = client.call("CreateToken", pb.CreateTokenRequest(tenant="acme"))
    assert (made.tenant, made.uuid, made.new_tenant) == ("acme", "", True)
    assert made.expires.seconds == side.office.now + 3600
    assert made.authority_sha256 == side.office.authority.sha256
    assert made.enrolment == "192.0.2.1:7444"
    assert side.office.issuer.enrol(made.token, asked()).guest.tenant == "acme"
    assert client.call("CreateToken", pb.CreateTokenRequest()).tenant == "default"


def test_a_token_is_made_for_one_key(side: IdentitySide, client: Client) -> None:
    """Which whoever asks for it names; another's request is refused."""
    key = new_key()
    request = pb.CreateTokenRequest(tenant="acme", uuid=UUID, key_sha256=key_sha256(key.public_key()))
    made = client.call("CreateToken", request)
    with pytest.raises(TokenRefused):
        side.office.issuer.enrol(made.token, asked())
    assert side.office.issuer.enrol(made.token, asked(key=key)).guest.uuid == UUID


@pytest.mark.parametrize("seconds", [-1, 0, 59, 7 * 86400 + 1])
def test_a_token_lives_between_a_minute_and_a_week(client: Client, seconds: int) -> None:
    """Any other time breaks a rule of the wire."""
    request = pb.CreateTokenRequest(ttl=Duration(seconds=seconds))
    assert refused(client, "CreateToken", request)[0] is BAD


def test_who_administers_one_tenant_sees_and_touches_that_tenants(side: IdentitySide, client: Client) -> None:
    """Another's guests are to him as if they were not there; so are the certificates."""
    own, other = (side.office.enrolled(tenant).guest.uuid for tenant in ("acme", "umbrella"))
    side.caller = OF_ACME
    assert client.call("CreateToken", pb.CreateTokenRequest()).tenant == "acme"
    assert refused(client, "CreateToken", pb.CreateTokenRequest(tenant="umbrella"))[0] is DENIED
    assert client.call("GetGuest", pb.GetGuestRequest(guest=own)).guest.tenant == "acme"
    nobody = refused(client, "GetGuest", pb.GetGuestRequest(guest=own[:-1] + "x"))[1]
    for name, request in (
        ("GetGuest", pb.GetGuestRequest(guest=other)),
        ("RevokeGuest", pb.RevokeGuestRequest(guest=other)),
        ("RemoveGuest", pb.RemoveGuestRequest(guest=other)),
    ):
        status, sentence = refused(client, name, request)
        assert (status, sentence.replace(other, "X")) == (DENIED, nobody.replace(own[:-1] + "x", "X"))
    listed = client.call("ListCertificates", pb.ListCertificatesRequest(guests=True)).certificates
    assert [(each.name, each.tenant) for each in listed] == [(own, "acme")]
    assert client.call("RevokeGuest", pb.RevokeGuestRequest(guest=own)).certificates == 1


def test_tokens_are_listed_to_whom_they_concern_and_to_nobody_else(
    side: IdentitySide, client: Client
) -> None:
    """The provider all, a tenant's its own, a host agent those that it has made; and never what one is."""
    agent, other = (Caller(name, Role.HOST_AGENT) for name in ("host-1", "host-2"))
    made = {}
    for tenant, author in (("acme", PROVIDER), ("acme", OF_ACME), ("umbrella", PROVIDER), ("acme", agent)):
        made[f"{tenant} {author.author}"] = side.office.issuer.token(tenant, "", 3600, author)
    for caller, seen in (
        (PROVIDER, set(made)),
        (Caller("audrey", Role.AUDITOR), set(made)),
        (OF_ACME, {"acme provider paula", "acme tenant-admin anna of acme", "acme host-agent host-1"}),
        (agent, {"acme host-agent host-1"}),
        (other, set()),
    ):
        side.caller = caller
        reply = client.call("ListTokens", pb.ListTokensRequest())
        assert {f"{token.tenant} {token.author}" for token in reply.tokens} == seen, caller
        assert all(each.text.encode() not in reply.SerializeToString() for each in made.values())
        hidden = [each.token.digest for name, each in made.items() if name not in seen]
        for digest in hidden:
            request = pb.WithdrawTokenRequest(sha256=digest)
            assert refused(client, "WithdrawToken", request)[0] is DENIED
    side.caller = PROVIDER
    of_one = client.call("ListTokens", pb.ListTokensRequest(tenant="umbrella")).tokens
    assert [token.tenant for token in of_one] == ["umbrella"]
    side.caller = agent
    mine = made["acme host-agent host-1"].token
    assert (
        client.call("WithdrawToken", pb.WithdrawTokenRequest(sha256=mine.digest[:4])).token.tenant == "acme"
    )
    assert not client.call("ListTokens", pb.ListTokensRequest()).tokens


def test_a_listed_token_says_whom_it_is_for_and_whether_it_was_used(
    side: IdentitySide, client: Client
) -> None:
    """The soonest end first, so many as are asked for; those that are over are not told."""
    desk = side.office
    later, used, over = (desk.issuer.token("acme", "", seconds, PROVIDER) for seconds in (7200, 3600, 60))
    guest = desk.issuer.enrol(used.text, asked()).guest
    desk.now += 60
    first, second = client.call("ListTokens", pb.ListTokensRequest()).tokens
    assert (first.sha256, first.used, first.uuid) == (used.token.digest, True, guest.uuid)
    assert (second.sha256, second.used, second.uuid) == (later.token.digest, False, "")
    assert (second.author, second.created.seconds) == ("provider paula", desk.now - 60)
    assert second.expires.seconds == desk.now - 60 + 7200
    assert len(client.call("ListTokens", pb.ListTokensRequest(limit=1)).tokens) == 1
    assert refused(client, "WithdrawToken", pb.WithdrawTokenRequest(sha256=over.token.digest))[0] is DENIED


def test_a_guest_is_shown_with_its_certificates(side: IdentitySide, client: Client) -> None:
    """How each stands, who ended it and why."""
    enrolled = side.office.enrolled("acme")
    uuid = enrolled.guest.uuid
    side.attached.add(uuid)
    shown = client.call("GetGuest", pb.GetGuestRequest(guest=uuid))
    assert (shown.guest.guest, shown.guest.state, shown.guest.attached) == (uuid, "good", True)
    assert (shown.guest.host_name, shown.guest.machine) == ("vm", b"m" * 32)
    (certificate,) = shown.certificates
    assert (certificate.role, certificate.name, certificate.tenant) == ("guest", uuid, "acme")
    assert certificate.ends.seconds == side.office.now + 30 * DAY
    assert not certificate.HasField("ended")
    client.call("RevokeGuest", pb.RevokeGuestRequest(guest=uuid, reason=" stolen "))
    shown = client.call("GetGuest", pb.GetGuestRequest(guest=uuid))
    assert (shown.guest.state, shown.certificates[0].state) == ("revoked", "revoked")
    assert (shown.certificates[0].reason, shown.certificates[0].ended_by[:4]) == ("stolen", "uid-")
    side.office.now += 100 * DAY
    side.office.ender.age()
    assert client.call("GetGuest", pb.GetGuestRequest(guest=uuid)).guest.state == "expired"
    client.call("RemoveGuest", pb.RemoveGuestRequest(guest=uuid))
    assert refused(client, "GetGuest", pb.GetGuestRequest(guest=uuid))[0] is DENIED


def test_an_authority_that_has_ended_issues_nothing(side: IdentitySide, client: Client) -> None:
    """The sentence says what to do."""
    side.office.now += 11 * 365 * DAY
    request = pb.IssueCertificateRequest(role="provider", name="paula", csr=csr_for(new_key()))
    status, sentence = refused(client, "IssueCertificate", request)
    assert (status, "svm init" in sentence) == (DENIED, True)


def test_an_administrators_certificate_is_issued_listed_and_revoked(
    side: IdentitySide, client: Client
) -> None:
    """By the beginning of its SHA-256."""
    request = pb.IssueCertificateRequest(
        role="tenant-admin", name="anna", tenant="acme", csr=csr_for(new_key())
    )
    issued = client.call("IssueCertificate", request)
    assert side.office.registry.caller(pem_of(issued.certificate)) == OF_ACME
    assert list(issued.chain) == side.office.authority.chain
    side.office.enrolled()
    (listed,) = client.call("ListCertificates", pb.ListCertificatesRequest()).certificates
    assert (listed.role, listed.name, listed.tenant, listed.state) == ("tenant-admin", "anna", "acme", "good")
    assert len(client.call("ListCertificates", pb.ListCertificatesRequest(guests=True)).certificates) == 2
    assert (
        len(client.call("ListCertificates", pb.ListCertificatesRequest(guests=True, limit=1)).certificates)
        == 1
    )
    side.office.issuer.token("acme", "", 3600, OF_ACME)
    ended = client.call(
        "RevokeCertificate", pb.RevokeCertificateRequest(sha256=listed.sha256[:4], reason="left")
    )
    assert (ended.certificate.state, ended.certificate.name, ended.tokens) == ("revoked", "anna", 1)


CSR = csr_for(new_key())


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("IssueCertificate", pb.IssueCertificateRequest(role="guest", name="x", csr=b"x")),
        ("IssueCertificate", pb.IssueCertificateRequest(role="svm", name="x", csr=b"x")),
        ("IssueCertificate", pb.IssueCertificateRequest(role="provider", name="x", csr=b"x")),
        ("IssueCertificate", pb.IssueCertificateRequest(role="provider", name="a/b", csr=CSR)),
        (
            "IssueCertificate",
            pb.IssueCertificateRequest(role="tenant-admin", name="a", csr=CSR),
        ),
        ("CreateToken", pb.CreateTokenRequest(key_sha256=b"k" * 31)),
        ("CreateToken", pb.CreateTokenRequest(key_sha256=b"k" * 33)),
        ("RevokeCertificate", pb.RevokeCertificateRequest(sha256=b"abc")),
        ("RevokeCertificate", pb.RevokeCertificateRequest(sha256=b"a" * 33)),
        ("RevokeGuest", pb.RevokeGuestRequest(guest="x", reason="x" * 513)),
        ("ListCertificates", pb.ListCertificatesRequest(limit=20_000)),
        ("ListTokens", pb.ListTokensRequest(limit=8193)),
        ("ListTokens", pb.ListTokensRequest(tenant="a/b")),
        ("WithdrawToken", pb.WithdrawTokenRequest(sha256=b"abc")),
        ("WithdrawToken", pb.WithdrawTokenRequest(sha256=b"abcd", reason="x" * 513)),
    ],
)
def test_what_breaks_a_rule_of_the_wire_is_refused(client: Client, name: str, request_: object) -> None:
    """Nobody gets a certificate of a role that is not issued, or of a name that is none."""
    assert refused(client, name, request_)[0] is BAD


def test_without_svm_init_there_is_nothing_to_administer(tmp_path: Path) -> None:
    """And the sentence says what to do."""
    with identity_side(tmp_path, authority=False) as side:
        client = Client(side, identity_pb2_grpc.IdentityAdministrationStub)
        status, sentence = refused(client, "CreateToken", pb.CreateTokenRequest())
        client.close()
    assert status is DENIED
    assert "svm init" in sentence


async def test_other_calls_keep_nobody_from_ending_something(tmp_path: Path) -> None:
    """Where all places are taken, guests and certificates are revoked and removed all the same."""
    with office(tmp_path) as desk:

        async def caller(_context: object) -> Caller:
            return PROVIDER

        view = IdentityView(desk.registry, "", "", lambda _guest: False, desk.clock)
        service = IdentityAdministrationService(
            view, caller, Turns(Limits(admin_calls=1, tenant=TenantLimits(admin_calls=1)))
        )
        guests = [desk.enrolled().guest.uuid for _ in range(2)]
        issued = desk.issuer.issue(OF_ACME, csr_for(new_key()), PROVIDER).record.sha256
        context: Any = None
        with service.turns.one(PROVIDER, ends=False):
            with pytest.raises(NoPlace), service.turns.one(PROVIDER, ends=False):
                pass
            await service.RevokeGuest(pb.RevokeGuestRequest(guest=guests[0]), context)
            await service.RemoveGuest(pb.RemoveGuestRequest(guest=guests[1]), context)
            await service.RevokeCertificate(pb.RevokeCertificateRequest(sha256=issued), context)
        assert [desk.registry.counts[kind] for kind in ("revoked", "removed")] == [2, 1]


async def test_the_loop_is_free_while_certificates_are_listed(tmp_path: Path) -> None:
    """However many there are: others run after each slice, which here is over at once."""
    with office(tmp_path) as desk:
        with desk.store.writing() as tables:
            for number in range(100):
                holder = f"kvm-light-agent://administrator/tenant-admin/acme/n{number}"
                tables.put_certificate(Certificate(number.to_bytes(32, "big"), "1", holder, number, DAY))

        async def caller(_context: object) -> Caller:
            return OF_ACME

        view = IdentityView(desk.registry, "", "", lambda _guest: False, desk.clock)
        seconds = count()
        service = IdentityAdministrationService(view, caller, Turns(clock=lambda: float(next(seconds))))
        context: Any = None

        async def listed() -> pb.ListCertificatesReply:
            return await service.ListCertificates(pb.ListCertificatesRequest(), context)

        listing = asyncio.get_running_loop().create_task(listed())
        free = 0
        while not listing.done():
            await asyncio.sleep(0)
            free += 1
        assert len((await listing).certificates) == 100
        assert free >= 100
