"""Two tenants on one SVM: what the administrators and the guests of one get to see of the other.

Over the real services and the real gate. The administrator of one tenant tries every call that he may make,
with everything that he could know of the other.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc
import pytest
from lightagent.v1 import (
    admin_pb2,
    events_pb2,
    exposure_pb2,
    guest_pb2,
    hosts_pb2,
    identity_pb2,
    scans_pb2,
    verdict_pb2,
)

from appliance.domain.caller import Role
from appliance.domain.event import EventKind
from appliance.domain.policy import Decision, KsnType
from appliance.rpc.access import ACCESS
from appliance.state.policies import Decided, PolicyChange
from appliance.verdicts import exposure
from tests.support.contents import EICAR
from tests.support.identities import PROVIDER, asked
from tests.support.ksn import decision
from tests.support.machines import agent, running
from tests.support.misbehaving_ksn import MisbehavingKsn, says
from tests.support.svm import DEADLINE, RawGuest, digest_of, until
from tests.support.tenants import Administrator, Tenancy, tenancy

DAEMON = guest_pb2.GUEST_PROGRAM_DAEMON
THEIR_UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
PRIVATE = b"nobody but other has this file"
MALICIOUS, NOT_DETECTED, NEEDED = (
    verdict_pb2.OUTCOME_MALICIOUS,
    verdict_pb2.OUTCOME_NOT_DETECTED,
    verdict_pb2.OUTCOME_CONTENT_NEEDED,
)
UNKNOWN_TENANT = "no tenant {!r} is known: see `svm policy list`"


@dataclass(frozen=True)
class Theirs:
    """What there is of the tenant other. text: of a Statement that it alone has decided on.

    token: SHA-256 of one that nobody has used yet.
    """

    guest: RawGuest
    digest: bytes
    found: bytes
    scan: bytes
    text: str
    token: bytes

    def marks(self) -> dict[str, bytes]:
        """What a reply must not have in it, by what it is."""
        return {
            "its name": b"other",
            "its guest": b"guest-of-theirs",
            "its file": self.digest,
            "its threat's file": self.found,
            "its scan": self.scan,
            "its reasons": b"secret reason",
            "its administrator": b"admin-of-other",
            "its Statement": b"what other has read",
            "its enrolled guest": THEIR_UUID.encode(),
            "its token": self.token,
            "its machine": b"vm-of-other",
        }


@asynccontextmanager
async def theirs(here: Tenancy) -> AsyncIterator[Theirs]:
    """A guest of the tenant other at work, and its administrator as well."""
    parts, digest, found = here.ksn.svm.parts, digest_of(PRIVATE), digest_of(EICAR)
    text = "what other has read"
    parts.ksn.policies.change(
        "other",
        PolicyChange(decided=Decided(Decision.ACCEPT, KsnType.PRIVATE, decision().version, text)),
        "admin-of-other",
    )
    assert parts.identity is not None
    token = await parts.identity.registry.token("other", THEIR_UUID, 3600, PROVIDER)
    await parts.identity.registry.enrol(token.text, asked(host_name="guest-of-theirs"))
    unused = await parts.identity.registry.token("other", "", 3600, PROVIDER)
    vms = [running(THEIR_UUID, "vm-of-other"), running(name="vm-of-other, not enrolled", tenant="other")]
    await parts.inventory.watch.register.report(agent(), vms, parts.inventory.watch.clock())
    admin = here.administrator(Role.TENANT_ADMIN, "other")
    async with admin, here.guest("guest-of-theirs", "other") as guest:
        for content in (PRIVATE, EICAR):
            reply = await guest.ask(digest_of(content))
            await guest.send(await lease_of(guest, reply), content)
        await guest.ask(found)
        override = admin_pb2.SetOverrideRequest(sha256=b"o" * 32, allow=True, reason="secret reason")
        await admin.call("Administration/SetOverride", override)
        await admin.call("KsnAdministration/LookUp", admin_pb2.LookUpRequest(sha256=digest))
        request = scans_pb2.OrderScansRequest(guests=["guest-of-theirs"], paths=[b"/theirs"])
        [ordered] = await admin.call("ScansAdministration/OrderScans", request)
        await until(lambda: counted(here, EventKind.DETECTION) == 1, "the detection is kept")
        await until(lambda: counted(here, EventKind.SCAN_ORDER) == 1, "the order is kept")
        await listed(admin, "guest-of-theirs", malicious=True)
        yield Theirs(guest, digest, found, ordered.scans[0].scan, text, unused.token.digest)


async def listed(admin: Administrator, guest: str, malicious: bool = False) -> None:
    """Wait until a guest's files are in the exposure, which may take a moment."""
    request = exposure_pb2.ListGuestFilesRequest(guest=guest, malicious=malicious)
    async with asyncio.timeout(DEADLINE):
        while not await admin.call("ExposureAdministration/ListGuestFiles", request):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def counted(here: Tenancy, kind: EventKind) -> int:
    """How many events of a kind are kept."""
    return here.ksn.svm.parts.witness.log.counts[kind]


async def lease_of(guest: RawGuest, reply: guest_pb2.CheckReply) -> int:
    """The lease for the first digest of a question, at once or when KSN has said that it does not know it."""
    if reply.details and reply.details[0].lease:
        return int(reply.details[0].lease)
    settled = await guest.answer(reply.request_id)
    assert settled.detail.lease
    return int(settled.detail.lease)


@asynccontextmanager
async def two_tenants(directory: Path, **ksn: Any) -> AsyncIterator[Tenancy]:
    """An SVM whose KSN knows nothing."""
    service = MisbehavingKsn(says(b"", 404))
    await service.start()
    try:
        with patch.object(exposure, "FIRST_SECONDS", 0.0):
            async with tenancy(directory, service, **ksn) as here:
                yield here
    finally:
        await service.stop()


Attempts = Callable[[Theirs], Sequence[Any]]

# Every call that a tenant's administrator may make, with all that he could know of another tenant.
ATTEMPTS: dict[str, Attempts] = {
    "Administration/GetStatus": lambda _: [admin_pb2.GetStatusRequest()],
    "Administration/GetVerdict": lambda its: [
        admin_pb2.GetVerdictRequest(sha256=digest, tenant=tenant)
        for digest in (its.digest, its.found, b"o" * 32)
        for tenant in ("", "other")
    ],
    "Administration/SetOverride": lambda its: [
        admin_pb2.SetOverrideRequest(sha256=its.digest, reason="mine", tenant=tenant)
        for tenant in ("", "other")
    ],
    "Administration/ClearVerdict": lambda its: [
        admin_pb2.ClearVerdictRequest(sha256=digest, tenant=tenant)
        for digest in (its.digest, its.found, b"o" * 32)
        for tenant in ("", "other")
    ],
    "Administration/ListAudit": lambda _: [
        admin_pb2.ListAuditRequest(limit=1000, tenant=tenant) for tenant in ("", "other")
    ],
    "Administration/ListSignatures": lambda _: [admin_pb2.ListSignaturesRequest()],
    "KsnAdministration/ListPolicies": lambda _: [admin_pb2.ListPoliciesRequest()],
    "KsnAdministration/CreatePolicy": lambda _: [
        admin_pb2.CreatePolicyRequest(tenant=tenant, decision=agreed()) for tenant in ("", "other")
    ],
    "KsnAdministration/ChangePolicy": lambda _: [
        admin_pb2.ChangePolicyRequest(tenant=tenant, active=False) for tenant in ("", "other")
    ],
    "KsnAdministration/ListHistory": lambda _: [
        admin_pb2.ListHistoryRequest(tenant=tenant, limit=1000) for tenant in ("", "other")
    ],
    "KsnAdministration/GetStatementText": lambda its: [
        admin_pb2.GetStatementTextRequest(sha256=digest_of(its.text.encode()).hex()[:length])
        for length in (8, 64)
    ],
    "KsnAdministration/GetKsnStatus": lambda _: [
        admin_pb2.GetKsnStatusRequest(tenant=tenant) for tenant in ("", "other")
    ],
    "KsnAdministration/CheckKsn": lambda _: [
        admin_pb2.CheckKsnRequest(tenant=tenant) for tenant in ("", "other")
    ],
    "KsnAdministration/LookUp": lambda its: [
        admin_pb2.LookUpRequest(tenant=tenant, sha256=its.digest) for tenant in ("", "other")
    ],
    "EventsAdministration/ListEvents": lambda _: [
        events_pb2.ListEventsRequest(limit=100_000, tenant=tenant, guest=guest)
        for tenant in ("", "other")
        for guest in ("", "guest-of-theirs")
    ],
    "ExposureAdministration/GetExposure": lambda its: [
        exposure_pb2.GetExposureRequest(sha256=its.digest, tenant=tenant) for tenant in ("", "other")
    ],
    "ExposureAdministration/ListGuests": lambda _: [
        exposure_pb2.ListGuestsRequest(limit=4096, tenant=tenant) for tenant in ("", "other")
    ],
    "ExposureAdministration/ListGuestFiles": lambda _: [
        exposure_pb2.ListGuestFilesRequest(guest="guest-of-theirs", malicious=malicious)
        for malicious in (False, True)
    ],
    "ScansAdministration/OrderScans": lambda _: (
        [scans_pb2.OrderScansRequest(guests=["guest-of-theirs"], tenant=tenant) for tenant in ("", "other")]
        + [scans_pb2.OrderScansRequest(all=True, tenant=tenant) for tenant in ("", "other")]
    ),
    "ScansAdministration/ListScans": lambda its: [
        scans_pb2.ListScansRequest(scans=scans, guest=guest, tenant=tenant, follow=bool(scans))
        for scans in ([], [its.scan])
        for guest in ("", "guest-of-theirs")
        for tenant in ("", "other")
    ],
    "ScansAdministration/CancelScans": lambda its: (
        [scans_pb2.CancelScansRequest(scans=[its.scan], tenant=tenant) for tenant in ("", "other")]
        + [scans_pb2.CancelScansRequest(all=True)]
    ),
    "IdentityAdministration/CreateToken": lambda _: [
        identity_pb2.CreateTokenRequest(tenant=tenant, uuid=uuid)
        for tenant in ("", "other")
        for uuid in ("", THEIR_UUID)
    ],
    "IdentityAdministration/ListTokens": lambda _: [
        identity_pb2.ListTokensRequest(tenant=tenant) for tenant in ("", "other")
    ],
    "IdentityAdministration/WithdrawToken": lambda its: [identity_pb2.WithdrawTokenRequest(sha256=its.token)],
    "IdentityAdministration/GetGuest": lambda _: [identity_pb2.GetGuestRequest(guest=THEIR_UUID)],
    "IdentityAdministration/RevokeGuest": lambda _: [identity_pb2.RevokeGuestRequest(guest=THEIR_UUID)],
    "IdentityAdministration/RemoveGuest": lambda _: [identity_pb2.RemoveGuestRequest(guest=THEIR_UUID)],
    "IdentityAdministration/ListCertificates": lambda _: [
        identity_pb2.ListCertificatesRequest(limit=1000, guests=True)
    ],
    "HostAdministration/ListVms": lambda _: [
        hosts_pb2.ListVmsRequest(limit=1000, tenant=tenant) for tenant in ("", "other")
    ],
}
# What a provider is told of another tenant with the same requests: else the attempts would prove nothing.
TELLING = {
    "Administration/GetStatus",
    "Administration/GetVerdict",
    "Administration/ListAudit",
    "KsnAdministration/ListPolicies",
    "KsnAdministration/ListHistory",
    "KsnAdministration/GetStatementText",
    "EventsAdministration/ListEvents",
    "ExposureAdministration/GetExposure",
    "ExposureAdministration/ListGuests",
    "ExposureAdministration/ListGuestFiles",
    "ScansAdministration/ListScans",
    "IdentityAdministration/ListTokens",
    "IdentityAdministration/GetGuest",
    "IdentityAdministration/ListCertificates",
    "HostAdministration/ListVms",
}


def agreed() -> admin_pb2.KsnDecision:
    """A decision on the Statement in force."""
    said = decision()
    return admin_pb2.KsnDecision(
        accept=True,
        type=verdict_pb2.KSN_TYPE_PRIVATE,
        version=said.version,
        sha256=bytes.fromhex(said.sha256),
    )


async def told(admin: Administrator, method: str, request: Any) -> tuple[bytes, str]:
    """All bytes of the replies to a request, and the sentence with which it was refused, "" for none."""
    try:
        replies = await admin.call(method, request)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return b"", error.details() or ""
    return b"".join(reply.SerializeToString() for reply in replies), ""


def test_every_call_that_a_tenants_administrator_may_make_is_tried() -> None:
    """A new one is nobody's affair until somebody has thought of what it could tell of another tenant."""
    open_to_tenants = {
        method.removeprefix("/lightagent.v1.")
        for method, roles in ACCESS.items()
        if Role.TENANT_ADMIN in roles and len(roles) < len(Role)
    }
    assert open_to_tenants == set(ATTEMPTS)


async def test_a_tenants_administrator_is_told_nothing_of_another(tmp_path: Path) -> None:
    """No reply has anything of the other's in it; what is named is answered as if nobody had such a thing."""
    async with two_tenants(tmp_path) as here, theirs(here) as its:
        for role in (
            Role.AUDITOR,
            Role.TENANT_ADMIN,
        ):  # who only reads first: what is written is his own then
            async with here.administrator(role, "acme") as admin:
                for method in (*READING, *(set(ATTEMPTS) - set(READING))):
                    if role not in ACCESS[f"/lightagent.v1.{method}"]:
                        continue
                    for request in ATTEMPTS[method](its):
                        said, refusal = await told(admin, method, request)
                        found = [what for what, mark in its.marks().items() if mark in said]
                        assert found == [], (role, method, request)
                        if getattr(request, "tenant", "") == "other":
                            assert refusal == UNKNOWN_TENANT.format("other"), (method, request)


async def test_the_same_requests_tell_the_provider(tmp_path: Path) -> None:
    """So the attempts are such as would find something."""
    async with two_tenants(tmp_path) as here, theirs(here) as its, here.administrator(Role.PROVIDER) as admin:
        for method in TELLING:
            said = [(await told(admin, method, request))[0] for request in told_once(ATTEMPTS[method](its))]
            assert any(mark in each for each in said for mark in its.marks().values()), method


def told_once(requests: Sequence[Any]) -> list[Any]:
    """The requests, without those that stay open as long as a scan does."""
    return [request for request in requests if not getattr(request, "follow", False)]


async def test_what_is_not_there_and_what_is_anothers_are_refused_alike(tmp_path: Path) -> None:
    """Word for word, but for the name that was given."""
    pairs: list[tuple[str, Callable[[str], Any]]] = [
        ("KsnAdministration/ListHistory", lambda name: admin_pb2.ListHistoryRequest(tenant=name)),
        ("Administration/ListAudit", lambda name: admin_pb2.ListAuditRequest(tenant=name)),
        (
            "KsnAdministration/ChangePolicy",
            lambda name: admin_pb2.ChangePolicyRequest(tenant=name, active=True),
        ),
        (
            "KsnAdministration/CreatePolicy",
            lambda name: admin_pb2.CreatePolicyRequest(tenant=name, decision=agreed()),
        ),
        ("EventsAdministration/ListEvents", lambda name: events_pb2.ListEventsRequest(tenant=name)),
    ]
    async with (
        two_tenants(tmp_path) as here,
        theirs(here) as its,
        here.administrator(Role.TENANT_ADMIN, "acme") as admin,
    ):
        for method, request in pairs:
            there, not_there = [await told(admin, method, request(name)) for name in ("other", "nobody")]
            assert there[1].replace("other", "nobody") == not_there[1] != "", method
        files, scans = "ExposureAdministration/ListGuestFiles", "ScansAdministration/OrderScans"
        for name, method in (("guest", files), ("guests", scans)):
            there, not_there = [
                await told(admin, method, asks(method, guest))
                for guest in ("guest-of-theirs", "guest-of-none")
            ]
            assert there[1].replace("theirs", "none") == not_there[1] != "", name
        cancel = "ScansAdministration/CancelScans"
        there, not_there = [
            await told(admin, cancel, scans_pb2.CancelScansRequest(scans=[scan]))
            for scan in (its.scan, b"n" * 16)
        ]
        assert there[1].replace(its.scan.hex(), (b"n" * 16).hex()) == not_there[1] != ""


def asks(method: str, guest: str) -> Any:
    """A request about a guest."""
    if method.endswith("OrderScans"):
        return scans_pb2.OrderScansRequest(guests=[guest])
    return exposure_pb2.ListGuestFilesRequest(guest=guest)


READING = [method for method in ATTEMPTS if method.partition("/")[2].startswith(("Get", "List"))]


async def test_nothing_that_a_tenant_sees_changes_when_another_acts(tmp_path: Path) -> None:
    """Neither a figure, nor a number, nor an order: all that may be read is byte for byte what it was."""
    async with (
        two_tenants(tmp_path) as here,
        here.guest("ours", "acme") as ours,
        here.administrator(Role.TENANT_ADMIN, "acme") as admin,
    ):
        reply = await ours.ask(digest_of(b"our own"))
        await ours.send(await lease_of(ours, reply), b"our own")
        override = admin_pb2.SetOverrideRequest(sha256=b"a" * 32, allow=True, reason="ours")
        await admin.call("Administration/SetOverride", override)
        await admin.call("ScansAdministration/OrderScans", scans_pb2.OrderScansRequest(guests=["ours"]))
        await until(lambda: counted(here, EventKind.SCAN_ORDER) == 1, "our own order is kept")
        dummy = Theirs(
            ours, digest_of(PRIVATE), digest_of(EICAR), b"s" * 16, "what other has read", b"t" * 32
        )
        # What goes on by itself, our own file's way into the exposure and KSN's feed, is over then.
        await listed(admin, "ours")
        status = admin_pb2.GetKsnStatusRequest()
        async with asyncio.timeout(DEADLINE):
            while not (await admin.call("KsnAdministration/GetKsnStatus", status))[0].notices:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        before = await everything(admin, dummy)
        assert any(b"ours" in said for said, _ in before.values())
        here.ksn.svm.parts.witness.log.counts.clear()
        async with theirs(here):
            during = await everything(admin, dummy)
        assert during == before
        assert await everything(admin, dummy) == before


async def everything(admin: Administrator, its: Theirs) -> dict[str, tuple[bytes, str]]:
    """All that may be read, by method and request."""
    return {
        f"{method} {request}": await told(admin, method, request)
        for method in READING
        for request in told_once(ATTEMPTS[method](its))
    }


async def test_a_tenants_administrator_changes_nothing_of_another(tmp_path: Path) -> None:
    """After every attempt the other's override, verdicts, policy and scan are what they were."""
    async with (
        two_tenants(tmp_path) as here,
        theirs(here) as its,
        here.administrator(Role.TENANT_ADMIN, "acme") as admin,
        here.administrator(Role.TENANT_ADMIN, "other") as owner,
    ):
        dummy = Theirs(its.guest, its.digest, its.found, its.scan, its.text, its.token)
        before = await everything(owner, dummy)
        for method, attempts in ATTEMPTS.items():
            for request in attempts(its):
                with suppress(grpc.aio.AioRpcError):
                    await admin.call(method, request)
        after = await everything(owner, dummy)
        assert after == before
        reply = await its.guest.ask(its.digest, its.found, b"o" * 32)
        assert list(reply.outcomes) == [NOT_DETECTED, MALICIOUS, verdict_pb2.OUTCOME_CLEAN]


async def test_guests_of_a_tenant_are_answered_by_its_own_override_alone(tmp_path: Path) -> None:
    """Set by its administrator; its guests hear that earlier answers are void, another's hear nothing."""
    digest = digest_of(b"x")
    async with (
        two_tenants(tmp_path) as here,
        here.guest("ours", "acme") as ours,
        here.guest("guest-of-theirs", "other") as guest,
        here.administrator(Role.TENANT_ADMIN, "acme") as admin,
        here.administrator(Role.PROVIDER) as provider,
    ):
        override = admin_pb2.SetOverrideRequest(sha256=digest, allow=False, reason="ours")
        await admin.call("Administration/SetOverride", override)
        assert await first_revoked(ours) == digest
        assert list((await ours.ask(digest)).outcomes) == [MALICIOUS]
        assert list((await guest.ask(digest)).outcomes) != [MALICIOUS]
        [mine] = await admin.call("Administration/ListAudit", admin_pb2.ListAuditRequest())
        audited = [(each.author, each.tenant) for each in mine.entries if each.action == "block"]
        assert audited == [("tenant-admin admin-of-acme of acme", "acme")]
        # The next thing that the other hears is the provider's word, which counts for everybody.
        for_all = admin_pb2.SetOverrideRequest(sha256=b"p" * 32, allow=False, reason="for all")
        await provider.call("Administration/SetOverride", for_all)
        assert await first_revoked(guest) == b"p" * 32
        seen = await admin.call("Administration/GetVerdict", admin_pb2.GetVerdictRequest(sha256=b"p" * 32))
        assert (seen[0].override.reason, seen[0].override.author) == ("", "provider")


async def first_revoked(guest: RawGuest) -> bytes:
    """The next digest whose answers are void, as a guest hears it."""
    while True:
        message = await asyncio.wait_for(guest.attach.read(), DEADLINE)
        assert isinstance(message, guest_pb2.AttachReply)
        if message.WhichOneof("message") == "revocation":
            return bytes(message.revocation.sha256[0])


@pytest.mark.parametrize("shared", [False, True])
async def test_ksn_is_shared_by_the_providers_word_alone(tmp_path: Path, shared: bool) -> None:
    """Without it each tenant asks for itself; with it the second is answered by what the first learnt."""
    async with (
        tenancy(tmp_path, share_between_tenants=shared) as here,
        here.guest("ours", "acme") as ours,
        here.guest("guest-of-theirs", "other") as guest,
    ):
        for each in (guest, ours):
            reply = await each.ask(digest_of(PRIVATE), budget=5)
            if reply.outcomes[0] not in (MALICIOUS,):
                assert (await each.answer(reply.request_id)).outcome == MALICIOUS
        entries = [entry for entry in await here.ksn.ledger() if entry.get("call") == "hash"]
        assert [entry["tenant"] for entry in entries] == (["other"] if shared else ["other", "acme"])
