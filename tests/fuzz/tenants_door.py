"""Administrators of two tenants, and the provider, at the door on TCP, held against the model of `estate`."""

import hashlib
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import grpc
from google.protobuf.message import Message
from lightagent.v1 import admin_pb2, events_pb2, exposure_pb2, identity_pb2, verdict_pb2

from appliance.domain.caller import Caller, Role
from appliance.identity.authority import pem_of
from appliance.identity.issuing import Asked, TokenRefused
from appliance.identity.keys import csr_for, key_pem
from appliance.ksn.statement import shown_hash, version_in_force
from appliance.rpc.ksn_views import TYPE_NUMBERS
from tests.fuzz.estate import (
    DIGESTS,
    IDENTITY,
    KSN,
    OK,
    PATHS,
    PROVIDER,
    REFUSED,
    SERVICE,
    STRANGER,
    VERDICTS,
    Certified,
    Do,
    Estate,
    Person,
    Set,
    TokenMade,
)
from tests.fuzz.tls_doors import ADMINISTRATORS, KEYS, Ends, WatchedDoors, end_of
from tests.support.identities import MACHINE
from tests.support.svm import DEADLINE

MOST = 1000  # entries of the audit that are asked for


class DoorOfTenants(WatchedDoors):
    """Each call ends as the model says, and each sees what it says, in what order ever they come."""

    async def prepare(self) -> None:
        """Have a provider."""
        issued = await self.here.registry.issue(PROVIDER, csr_for(KEYS[0]), PROVIDER)
        self._provider = Person(PROVIDER, issued.record.sha256)
        self._proofs = {issued.record.sha256: (key_pem(KEYS[0]), pem_of(issued.der))}

    def _allowed(self, path: str) -> set[grpc.StatusCode]:
        return ADMINISTRATORS

    async def _ends_of(self, steps: Sequence[Do]) -> Ends:
        async with AsyncExitStack() as stack:
            story = Played(self, Estate(self._stories, [self._provider]), stack)
            for step in (Do(0, "issue", 1), Do(0, "issue", 2), *steps):
                await story.do(step)
            for person in story.estate.people:
                await story.look(person)
        for sha256 in set(self._proofs) - {self._provider.sha256}:
            del self._proofs[sha256]
        return []

    @property
    def proofs(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Keys and certificates of those who call, in PEM, by SHA-256."""
        return self._proofs


class Played:
    """A story."""

    def __init__(self, door: DoorOfTenants, estate: Estate, stack: AsyncExitStack) -> None:
        self.estate = estate
        self._door, self._here, self._stack = door, door.here, stack
        self._channels: dict[bytes, grpc.aio.Channel] = {}

    async def do(self, step: Do) -> None:
        """Have one thing done, and the model told."""
        if step.what == "enrol":
            await self._enrol(step)
            return
        wanted, request = self.estate.end(step), self._request(step)
        status, sentence, heard = await self._call(self.estate.person(step), PATHS[step.what], request)
        assert status is wanted, f"{step} ended as {status} ({sentence}) instead of {wanted}"
        if status is OK:
            self._done(step, heard[0])
        elif status is REFUSED:
            await self._is_as_for_nobodys(step, request, sentence)

    async def _is_as_for_nobodys(self, step: Do, request: Message, sentence: str) -> None:
        """Another tenant's is refused as what nobody has: which it is, is not for a stranger to know."""
        tenant = self.estate.person(step).caller.tenant
        said = request.SerializeToString()
        names = [name for name in self.estate.tenants if name != tenant] + list(self.estate.met)
        theirs = [name for name in names if name.encode() in said]
        if not tenant or not theirs:
            return
        nobodys = {name: STRANGER if len(name) == len(STRANGER) else "x" * len(name) for name in theirs}
        twin = type(request).FromString(_renamed(said, nobodys))
        end = await self._call(self.estate.person(step), PATHS[step.what], twin)
        assert end[:2] == (REFUSED, _renamed(sentence.encode(), nobodys).decode()), f"{step}: {sentence}"

    def _request(self, step: Do) -> Any:
        estate, named = self.estate, self.estate.named(step)
        digest, reason = estate.digest(step.which), estate.reason(step)
        match step.what:
            case "create policy":
                decision = self._decision(step.flag)
                return admin_pb2.CreatePolicyRequest(
                    tenant=named, decision=decision, mode=verdict_pb2.KSN_MODE_STANDARD
                )
            case "change policy":
                if step.which % 2:
                    return admin_pb2.ChangePolicyRequest(tenant=named, decision=self._decision(step.flag))
                return admin_pb2.ChangePolicyRequest(tenant=named, active=step.flag)
            case "override":
                return admin_pb2.SetOverrideRequest(
                    sha256=digest, allow=step.flag, reason=reason, tenant=named
                )
            case "clear":
                return admin_pb2.ClearVerdictRequest(sha256=digest, reason=reason, tenant=named)
            case "token":
                uuid = estate.guest(step) if step.flag else ""
                return identity_pb2.CreateTokenRequest(tenant=estate.whose(step), uuid=uuid)
            case "issue":
                name, csr = f"eve-{len(estate.people)}", csr_for(KEYS[1])
                return identity_pb2.IssueCertificateRequest(
                    role="tenant-admin", name=name, tenant=named, csr=csr
                )
            case "revoke":
                return identity_pb2.RevokeCertificateRequest(sha256=estate.certificate(step), reason=reason)
            case "revoke guest":
                return identity_pb2.RevokeGuestRequest(guest=estate.guest(step), reason=reason)
        return identity_pb2.RemoveGuestRequest(guest=estate.guest(step), reason=reason)

    def _decision(self, accept: bool) -> admin_pb2.KsnDecision:
        terms = self._here.svm.parts.ksn.participants.terms
        shown = bytes.fromhex(shown_hash(terms.text))
        type_, version = TYPE_NUMBERS[terms.type], version_in_force(terms.type)
        return admin_pb2.KsnDecision(accept=accept, type=type_, version=version, sha256=shown)

    def _done(self, step: Do, reply: bytes) -> None:
        """Tell the model of what was acknowledged."""
        estate, tenant = self.estate, self.estate.whose(step)
        author, key = estate.person(step).caller.author, (tenant, step.which % DIGESTS)
        match step.what:
            case "create policy":
                estate.policies[tenant] = Set(accepted=step.flag)
                estate.note(step, "policy", tenant, tenant)
            case "change policy":
                self._changed(step, estate.policies[tenant])
                estate.note(step, "policy", tenant, tenant)
            case "override":
                estate.overrides[key] = step.flag, author
                estate.note(step, "allow" if step.flag else "block", tenant, "", estate.digest(step.which))
            case "clear":
                had = estate.overrides.pop(key, None) is not None
                assert admin_pb2.ClearVerdictReply.FromString(reply).cleared == had, step
                estate.note(step, "clear", tenant, "", estate.digest(step.which))
            case "token":
                made = identity_pb2.CreateTokenReply.FromString(reply)
                estate.tokens.append(TokenMade(made.token, tenant, made.uuid))
                estate.note(step, "token", tenant, made.uuid)
            case "issue":
                self._issued(step, identity_pb2.IssueCertificateReply.FromString(reply).certificate)
            case "revoke":
                sha256 = estate.certificate(step)
                known = estate.certificates[sha256]
                known.state = "revoked"
                estate.note(step, "certificate revoked", known.tenant, sha256.hex()[:16])
            case _:
                estate.end_guest(step)

    def _changed(self, step: Do, policy: Set) -> None:
        if step.which % 2:
            policy.accepted = step.flag
            policy.entries += 1
        elif policy.active != step.flag:
            policy.active = step.flag
            policy.entries += 1

    def _issued(self, step: Do, der: bytes) -> None:
        estate, tenant, sha256 = self.estate, self.estate.named(step), hashlib.sha256(der).digest()
        caller = Caller(f"eve-{len(estate.people)}", Role.TENANT_ADMIN, tenant)
        estate.note(step, "certificate issued", tenant, sha256.hex()[:16])
        estate.people.append(Person(caller, sha256))
        estate.certificates[sha256] = Certified(caller.name, tenant, is_guest=False)
        self._door.proofs[sha256] = key_pem(KEYS[1]), pem_of(der)

    async def _enrol(self, step: Do) -> None:
        """Have somebody come with a token, at the register itself: the door is tried elsewhere."""
        if not self.estate.tokens:
            return
        token, wanted = self.estate.tokens[step.which % len(self.estate.tokens)], self.estate.enrols(step)
        asked = Asked(csr_for(KEYS[step.flag]), MACHINE, f"vm of {token.tenant}")
        try:
            made = await self._here.registry.enrol(token.text, asked)
        except TokenRefused:
            assert not wanted, f"{step}: the token of {token} was refused"
            return
        assert wanted, f"{step}: the token of {token} was taken"
        assert made.guest.tenant == token.tenant
        assert token.uuid in ("", made.guest.uuid)
        self.estate.enrolled(step, made.guest.uuid, hashlib.sha256(made.certificate).digest())

    async def look(self, person: Person) -> None:
        """Look at everything as somebody: it is what the model has for him, no more and no less."""
        if not self.estate.is_good(person.sha256):
            status, _, _ = await self._call(person, f"{SERVICE}Administration/GetStatus", b"")
            assert status is grpc.StatusCode.UNAUTHENTICATED, f"{person} was answered"
            return
        seen = self.estate.seen_by(person.caller)
        await self._look_at_policies(person, seen)
        await self._look_at_overrides(person, seen)
        await self._look_at_guests(person, seen)
        await self._look_at_the_audit(person, seen)
        for path, request in (
            ("EventsAdministration/ListEvents", events_pb2.ListEventsRequest(limit=MOST)),
            ("ExposureAdministration/ListGuests", exposure_pb2.ListGuestsRequest()),
            ("Administration/GetStatus", admin_pb2.GetStatusRequest()),
        ):
            await self._ask(person, SERVICE + path, request)

    async def _look_at_policies(self, person: Person, seen: Sequence[str]) -> None:
        said = await self._ask(person, f"{KSN}ListPolicies", admin_pb2.ListPoliciesRequest())
        assert {
            each.tenant: (each.active, each.decided[0].decision.accept)
            for each in admin_pb2.ListPoliciesReply.FromString(said).policies
            if each.tenant in self.estate.tenants
        } == {
            tenant: (policy.active, policy.accepted)
            for tenant, policy in self.estate.policies.items()
            if tenant in seen
        }
        for tenant in seen:
            request = admin_pb2.ListHistoryRequest(tenant=tenant, limit=MOST)
            entries = admin_pb2.ListHistoryReply.FromString(
                await self._ask(person, f"{KSN}ListHistory", request)
            ).entries
            policy = self.estate.policies.get(tenant)
            assert len(entries) == (0 if policy is None else policy.entries), f"history of {tenant}"

    async def _look_at_overrides(self, person: Person, seen: Sequence[str]) -> None:
        for which in range(DIGESTS):
            for tenant in seen:
                request = admin_pb2.GetVerdictRequest(sha256=self.estate.digest(which), tenant=tenant)
                said = await self._ask(person, f"{VERDICTS}GetVerdict", request)
                reply = admin_pb2.GetVerdictReply.FromString(said)
                of = next((of for of in ("", tenant) if (of, which) in self.estate.overrides), None)
                assert reply.HasField("override") == (of is not None), (person, reply)
                if of is not None:
                    allow, author = self.estate.overrides[of, which]
                    hidden = person.caller.tenant and not of
                    wanted = allow, "provider" if hidden else author, of
                    assert (reply.override.allow, reply.override.author, reply.override.tenant) == wanted

    async def _look_at_guests(self, person: Person, seen: Sequence[str]) -> None:
        for uuid in self.estate.met:
            tenant, certificates = self.estate.guests.get(uuid, ("", []))
            status, sentence, heard = await self._call(
                person, f"{IDENTITY}GetGuest", identity_pb2.GetGuestRequest(guest=uuid)
            )
            assert (status is OK) == (tenant in seen), f"{person} reads of {uuid}: {status}, {sentence}"
            if status is OK:
                reply = identity_pb2.GetGuestReply.FromString(heard[0])
                assert [each.sha256 for each in reply.certificates] == certificates
                assert reply.guest.state == self.estate.certificates[certificates[0]].state
        for guests in (False, True):
            request = identity_pb2.ListCertificatesRequest(guests=guests, limit=16_384)
            listed = identity_pb2.ListCertificatesReply.FromString(
                await self._ask(person, f"{IDENTITY}ListCertificates", request)
            ).certificates
            found = {each.sha256: each.state for each in listed if each.tenant in self.estate.tenants}
            assert found == {
                sha256: known.state
                for sha256, known in self.estate.certificates.items()
                if known.tenant in seen and (guests or not known.is_guest)
            }

    async def _look_at_the_audit(self, person: Person, seen: Sequence[str]) -> None:
        """One entry for each change that was acknowledged, in their order."""
        said = await self._ask(person, f"{VERDICTS}ListAudit", admin_pb2.ListAuditRequest(limit=MOST))
        digests = set(map(self.estate.digest, range(DIGESTS)))
        entries = [
            each
            for each in reversed(admin_pb2.ListAuditReply.FromString(said).entries)
            if each.tenant in self.estate.tenants or each.sha256 in digests
        ]
        wanted = [
            noted
            for noted in self.estate.audit
            if noted[2] in seen or (not noted[2] and not person.caller.tenant)
        ]
        found = [(each.author, each.action, each.tenant, each.sha256) for each in entries]
        noted = [(author, action, tenant, digest) for author, action, tenant, _, digest in wanted]
        assert found == noted, f"the audit has {found}, and what was done is {noted}"
        for entry, (_, _, _, subject, _) in zip(entries, wanted, strict=True):
            assert subject in entry.subject, (entry, subject)

    async def _ask(self, person: Person, path: str, request: Message) -> bytes:
        """What somebody is answered who is good for an answer; all of it, where that is a stream."""
        status, sentence, heard = await self._call(person, path, request)
        assert status is OK, f"{path} of {person} ended as {status}: {sentence}"
        return b"".join(heard)

    async def _call(
        self, person: Person, path: str, request: Message | bytes
    ) -> tuple[grpc.StatusCode, str, list[bytes]]:
        """One call; nothing in its answer is another tenant's."""
        if person.sha256 not in self._channels:
            where = self._here.svm.settings.server.admin_listen
            channel = self._here.channel(where, self._door.proofs[person.sha256])
            self._channels[person.sha256] = await self._stack.enter_async_context(channel)
        said = request if isinstance(request, bytes) else request.SerializeToString()
        status, sentence, heard = await end_of(self._channels[person.sha256], path, [said], DEADLINE)
        if person.caller.tenant:
            for secret in self.estate.secrets_from(person.caller.tenant):
                if secret not in said:
                    leaks = [each for each in (*heard, sentence.encode()) if secret in each]
                    assert not leaks, f"{path} tells {person.caller} of {secret!r}: {leaks}"
        return status, sentence, heard


def _renamed(said: bytes, names: dict[str, str]) -> bytes:
    for name, other in names.items():
        said = said.replace(name.encode(), other.encode())
    return said
