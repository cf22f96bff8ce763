"""What two tenants and the provider have between them: a model, so small that it can be seen to be right.

It is told of each call that was acknowledged, and says how the next has to end, what each may see then, and
what the audit has. Each story has tenants, digests and guests of its own.
"""

import hashlib
from dataclasses import dataclass, field
from uuid import UUID

import grpc

from appliance.domain.caller import Caller, Role
from appliance.rpc.access import ACCESS

SERVICE = "/lightagent.v1."
IDENTITY, KSN, VERDICTS = (f"{SERVICE}{name}Administration/" for name in ("Identity", "Ksn", ""))
PATHS = {
    "create policy": f"{KSN}CreatePolicy",
    "change policy": f"{KSN}ChangePolicy",
    "override": f"{VERDICTS}SetOverride",
    "clear": f"{VERDICTS}ClearVerdict",
    "token": f"{IDENTITY}CreateToken",
    "revoke guest": f"{IDENTITY}RevokeGuest",
    "remove guest": f"{IDENTITY}RemoveGuest",
    "issue": f"{IDENTITY}IssueCertificate",
    "revoke": f"{IDENTITY}RevokeCertificate",
}
DIGESTS = 2
STRANGER = "ffffffff-ffff-4fff-8fff-ffffffffffff"  # a guest that nobody knows
OK, REFUSED = grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION


@dataclass(frozen=True)
class Do:
    """One thing that somebody does. who, which: the so-manieth there is, round and round.

    what: of PATHS, or "enrol". tenant: which is named, 0 for none. which: digest, token, guest, certificate.
    """

    who: int
    what: str
    tenant: int = 0
    which: int = 0
    flag: bool = False


@dataclass
class Person:
    """An administrator."""

    caller: Caller
    sha256: bytes  # of his certificate


@dataclass
class TokenMade:
    """used: which key it was used for, and the certificate that was given, each -1 and b"" before."""

    text: str
    tenant: str
    uuid: str
    key: int = -1
    sha256: bytes = b""
    dropped: bool = False


@dataclass
class Certified:
    """A certificate in the register."""

    name: str
    tenant: str
    is_guest: bool
    state: str = "good"


@dataclass
class Set:
    """A policy, how many entries its history has, and how it was decided last."""

    active: bool = True
    accepted: bool = False
    entries: int = 2


@dataclass
class Estate:
    """number: of the story."""

    number: int
    people: list[Person] = field(default_factory=list)
    policies: dict[str, Set] = field(default_factory=dict)
    overrides: dict[tuple[str, int], tuple[bool, str]] = field(default_factory=dict)
    tokens: list[TokenMade] = field(default_factory=list)
    guests: dict[str, tuple[str, list[bytes]]] = field(default_factory=dict)
    met: list[str] = field(default_factory=list)  # every guest there ever was
    certificates: dict[bytes, Certified] = field(default_factory=dict)
    audit: list[tuple[str, str, str, str, bytes]] = field(default_factory=list)

    @property
    def tenants(self) -> tuple[str, str]:
        """The two."""
        return f"acme-{self.number:06}", f"blue-{self.number:06}"

    def digest(self, which: int) -> bytes:
        """One of the few that all of them talk about."""
        return hashlib.sha256(b"story %d digest %d" % (self.number, which % DIGESTS)).digest()

    def person(self, do: Do) -> Person:
        """Who does it."""
        return self.people[do.who % len(self.people)]

    def named(self, do: Do) -> str:
        """The tenant that is named."""
        return ("", *self.tenants)[do.tenant % 3]

    def whose(self, do: Do) -> str:
        """Whose it is about; a provider's token is for somebody."""
        named = self.named(do) or self.person(do).caller.tenant
        return self.tenants[0] if not named and do.what == "token" else named

    def guest(self, do: Do) -> str:
        """A guest's UUID, of one that there is, was, or may come to be."""
        some = [*self.met, f"00000000-0000-4000-8000-{self.number:012}"]
        return some[do.which % len(some)]

    def certificate(self, do: Do) -> bytes:
        """One of a guest or an administrator, but for the provider's own."""
        return [*self.certificates, bytes(32)][do.which % (len(self.certificates) + 1)]

    def reason(self, do: Do) -> str:
        """Words that nobody should read but whom it is about."""
        if do.what == "revoke":
            known = self.certificates.get(self.certificate(do))
            return f"because of {known.tenant if known else 'nobody'}"
        if "guest" in do.what:
            return f"because of {self.guests.get(self.guest(do), ('nobody',))[0]}"
        return f"because of {self.whose(do) or 'all of them'}"

    def is_good(self, sha256: bytes) -> bool:
        """Whether a certificate counts; the provider's does."""
        known = self.certificates.get(sha256)
        return sha256 == self.people[0].sha256 or (known is not None and known.state == "good")

    def end(self, do: Do) -> grpc.StatusCode:
        """How a call ends."""
        person = self.person(do)
        caller = person.caller
        if not self.is_good(person.sha256):
            return grpc.StatusCode.UNAUTHENTICATED
        if caller.role not in ACCESS[PATHS[do.what]]:
            return grpc.StatusCode.PERMISSION_DENIED
        if do.what in ("revoke guest", "remove guest"):
            known = self.guests.get(self.guest(do))
            return OK if known is not None and caller.sees(known[0]) else REFUSED
        if do.what == "revoke":
            return OK if self.is_good(self.certificate(do)) else REFUSED
        if do.what == "issue":
            return OK if self.named(do) else grpc.StatusCode.INVALID_ARGUMENT
        if not caller.sees(self.whose(do)):
            return REFUSED
        return self._end_of_own(do, caller)

    def _end_of_own(self, do: Do, caller: Caller) -> grpc.StatusCode:
        tenant = self.whose(do)
        if do.what == "token" and do.flag:
            known = self.guests.get(self.guest(do))
            return REFUSED if (known and known[0] != tenant) or (caller.tenant and not known) else OK
        if "policy" in do.what:
            if not tenant:
                return grpc.StatusCode.INVALID_ARGUMENT
            return OK if (tenant in self.policies) == (do.what == "change policy") else REFUSED
        return OK

    def enrols(self, do: Do) -> bool:
        """Whether a token is good for a key, which is `do.flag`."""
        token = self.tokens[do.which % len(self.tokens)]
        if token.dropped:
            return False
        if token.key >= 0:
            held = any(token.sha256 in certificates for _, certificates in self.guests.values())
            return token.key == do.flag and held and self.is_good(token.sha256)
        known = self.guests.get(token.uuid)
        return known is None or known[0] == token.tenant

    def note(self, do: Do, action: str, tenant: str, subject: str = "", digest: bytes = b"") -> None:
        """One entry of the audit. subject: what it has to name."""
        self.audit.append((self.person(do).caller.author, action, tenant, subject, digest))

    def enrolled(self, do: Do, uuid: str, sha256: bytes) -> None:
        """A guest has got a certificate."""
        token = self.tokens[do.which % len(self.tokens)]
        token.key, token.sha256, token.uuid = int(do.flag), sha256, uuid
        if sha256 in self.certificates:
            return
        _, before = self.guests.get(uuid, (token.tenant, []))
        for old in before[1:]:
            del self.certificates[old]
        if before and self.is_good(before[0]):
            self.certificates[before[0]].state = "superseded"
        self.guests[uuid] = token.tenant, [sha256, *before[:1]]
        self.certificates[sha256] = Certified(uuid, token.tenant, is_guest=True)
        for other in self.tokens:
            other.dropped |= other is not token and other.uuid == uuid
        self.audit.append((f"guest {uuid}", "guest enrolled", token.tenant, uuid, b""))
        if uuid not in self.met:
            self.met.append(uuid)

    def end_guest(self, do: Do) -> None:
        """One was revoked, or removed."""
        uuid = self.guest(do)
        tenant, certificates = self.guests[uuid]
        has_token = any(token.uuid == uuid and not token.dropped for token in self.tokens)
        if do.what == "revoke guest" and not has_token and not any(map(self.is_good, certificates)):
            return  # it is over already, of which nothing is written
        for token in self.tokens:
            token.dropped |= token.uuid == uuid
        if do.what == "remove guest":
            del self.guests[uuid]
            for sha256 in certificates:
                del self.certificates[sha256]
        for sha256 in filter(self.is_good, certificates):
            self.certificates[sha256].state = "revoked"
        self.note(do, f"guest {do.what.split()[0]}d", tenant, uuid)

    def secrets_from(self, tenant: str) -> list[bytes]:
        """What whoever is of a tenant must never read: names, guests, certificates of others, and words."""
        others = [each for each in self.tenants if each != tenant]
        hidden = {sha256 for sha256, known in self.certificates.items() if known.tenant != tenant}
        own = {uuid for uuid, (whose, _) in self.guests.items() if whose == tenant}
        own |= {token.uuid for token in self.tokens if token.tenant == tenant}
        uuids = [str(UUID(uuid)) for uuid in self.met if uuid not in own | self.once_of(tenant)]
        words = [*others, *uuids, "because of all of them", *(sha256.hex()[:16] for sha256 in hidden)]
        return [*(word.encode() for word in words), *hidden]

    def once_of(self, tenant: str) -> set[str]:
        """Guests of which the audit of a tenant tells."""
        return {subject for _, _, whose, subject, _ in self.audit if whose == tenant}

    def seen_by(self, caller: Caller) -> tuple[str, ...]:
        """The tenants that are his to see."""
        return tuple(filter(caller.sees, self.tenants))


PROVIDER = Caller("paula", Role.PROVIDER)
