"""An administrator of one tenant, and its guests: tokens, enrolments, renewals, and what ends them."""

import asyncio
import hashlib
import random
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from lightagent.v1 import admin_pb2, admin_pb2_grpc, guest_pb2, guest_pb2_grpc, identity_pb2

from appliance.domain.caller import Caller, Role
from appliance.identity.authority import pem_of
from appliance.identity.keys import csr_for, key_sha256, new_key
from appliance.identity.names import is_uuid, named_by, uri_of
from appliance.identity.tokens import digest_of
from appliance.rpc.admin_client import AdminClient, AdminError
from tests.chaos import register as orders
from tests.chaos.broken import Broken
from tests.chaos.page import Page
from tests.chaos.serving import Serving
from tests.support.tls_guest import TlsGuest

DEADLINE = 20.0  # seconds for an answer of an SVM that has much to do, or is dead
MOST_GUESTS = 12
MOST_RENEWALS = 5  # of a guest: the SVM allows some more in an hour

_SHORT = 30.0  # seconds before its end from which on nothing is expected of a token
_GUEST = "kvm-light-agent://guest/"
_REFUSED = grpc.StatusCode.UNAUTHENTICATED

Replied = TypeVar("Replied")


@dataclass
class Officer:
    """page: what was acknowledged. held: what was given, by SHA-256; texts, keys: of tokens, likewise."""

    tenant: str
    serving: Serving
    page: Page
    source: random.Random = field(default_factory=random.Random)
    held: dict[bytes, TlsGuest] = field(default_factory=dict)
    texts: dict[bytes, str] = field(default_factory=dict)
    keys: dict[bytes, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    renewals: Counter[str] = field(default_factory=Counter)

    async def work(self, ended: asyncio.Event, dead: Callable[[], bool]) -> None:
        """Do one thing after another until it is told to stop, or the SVM is gone."""
        while not ended.is_set():
            try:
                await self._choose()()
            except (grpc.aio.AioRpcError, AdminError) as error:
                if dead():
                    return
                asked = self.page.pending.name if self.page.pending else "nothing"
                raise Broken(f"{self.tenant}: {asked} was refused: {error}") from error

    async def look(self, source: random.Random) -> None:
        """Ask a fresh SVM: what counts does, what ended never again, and no token is good for two keys."""
        register = self.page.register
        good = [sha256 for sha256 in self.held if register.ends.get(sha256) == orders.COUNTS]
        over = [sha256 for sha256 in self.held if register.ends.get(sha256) != orders.COUNTS]
        chosen = source.sample(good, min(2, len(good))) + source.sample(over, min(3, len(over)))
        asked = [self._counts(self.held[sha256]) for sha256 in chosen]
        for sha256, counts in zip(chosen, await asyncio.gather(*asked), strict=True):
            if counts != (sha256 in good):
                said = "counts" if counts else "does not count"
                raise Broken(f"the certificate {sha256.hex()} of {self.tenant} {said}; it is not to")
        used = [digest for digest, token in register.tokens.items() if token.key]
        if used and source.random() < 0.3:
            await self._show_again(source.choice(used), source.random() < 0.5)

    def _choose(self) -> Callable[[], Awaitable[None]]:
        """Something that can be done now."""
        register, source = self.page.register, self.source
        unused = [digest for digest in self._usable() if not register.tokens[digest].key]
        used = [digest for digest in self._usable() if register.tokens[digest].key]
        guests = list(register.guests)
        renewable = [
            (uuid, shown)
            for uuid, chain in register.guests.items()
            for shown in (chain.current, chain.following)
            if shown in self.held and not register.ends[shown] and self.renewals[uuid] < MOST_RENEWALS
        ]
        following = [uuid for uuid, chain in register.guests.items() if self._can_follow(chain)]
        counting = register.counting("")
        can = [(3, self._make_token), (1, self._issue)]
        if unused and len(guests) < MOST_GUESTS:
            can.append((8, partial(self._enrol, source.choice(unused))))
        can += [(6, partial(self._renew, *source.choice(renewable)))] if renewable else []
        can += [(6, partial(self._attach, source.choice(following)))] if following else []
        can += [(1, partial(self._revoke_one, source.choice(counting)))] if counting else []
        can += [(1, partial(self._revoke, source.choice(guests)))] if guests else []
        crowded = len(guests) >= MOST_GUESTS
        can += [(5 if crowded else 1, partial(self._remove, source.choice(guests)))] if guests else []
        can += [(1, partial(self._show_again, source.choice(used), source.random() < 0.7))] if used else []
        return source.choices([act for _, act in can], [weight for weight, _ in can])[0]

    def _usable(self) -> list[bytes]:
        """Tokens whose text was told, and that are not over."""
        tokens = self.page.register.tokens.items()
        return [digest for digest, token in tokens if digest in self.texts and self._lasts(token.expires)]

    def _lasts(self, expires: float) -> bool:
        return expires > time.time() + _SHORT

    def _can_follow(self, chain: orders.Chain) -> bool:
        return chain.following in self.held and not self.page.register.ends[chain.following]

    async def _make_token(self) -> None:
        known = list(self.page.register.guests)
        bound = self.source.choice(known) if known and self.source.random() < 0.4 else ""
        request = identity_pb2.CreateTokenRequest(tenant=self.tenant, uuid=bound)
        request.ttl.seconds = self.source.choice((60, 600, 3600))
        self.page.asks(orders.make_token(bound))
        made = await self._administer(lambda client: client.create_token(request))
        digest = digest_of(made.token)
        self.texts[digest] = made.token
        self.page.acknowledged(digest, made.expires.ToNanoseconds() / 1e9)

    async def _enrol(self, token: bytes) -> None:
        """For the same key each time, so that an answer that was lost is got by the next."""
        key = self.keys.setdefault(token, new_key())
        self.page.asks(orders.enrol(token, key_sha256(key.public_key())))
        guest = await self._enrolled(token, key)
        self.page.acknowledged(self._keep(guest), f"{_GUEST}{self.tenant}/{guest.uuid}")

    async def _renew(self, uuid: str, shown: bytes) -> None:
        self.renewals[uuid] += 1
        self.page.asks(orders.renew(uuid, shown))
        async with asyncio.timeout(DEADLINE):
            renewed = await self.held[shown].renew(self.serving.address, new_key())
        self.page.acknowledged(self._keep(renewed))

    async def _attach(self, uuid: str) -> None:
        following = self.page.register.guests[uuid].following
        self.page.asks(orders.attach(uuid))
        async with asyncio.timeout(DEADLINE), self.held[following].connect(self.serving.address) as guest:
            await guest.say_hello()
            self.page.acknowledged()

    async def _revoke(self, uuid: str) -> None:
        self.page.asks(orders.revoke(uuid))
        await self._administer(lambda client: client.revoke_guest(uuid, "chaos"))
        self.page.acknowledged()

    async def _remove(self, uuid: str) -> None:
        self.page.asks(orders.remove(uuid))
        await self._administer(lambda client: client.remove_guest(uuid, "chaos"))
        self.page.acknowledged()

    async def _issue(self) -> None:
        """Of its own tenant, or of all: then its name says whose officer asked."""
        role = self.source.choice((Role.TENANT_ADMIN, Role.AUDITOR, Role.PROVIDER, Role.HOST_AGENT))
        tenant = self.tenant if role in (Role.TENANT_ADMIN, Role.AUDITOR) else ""
        holder = Caller(f"{self.tenant}-{self.source.randbytes(6).hex()}", role, tenant)
        key = new_key()
        request = identity_pb2.IssueCertificateRequest(
            role=role, name=holder.name, tenant=tenant, csr=csr_for(key)
        )
        self.page.asks(orders.issue(uri_of(holder), f"{role} {holder.name}"))
        reply = await self._administer(lambda client: client.issue_certificate(request))
        made = TlsGuest(self.serving.authority, key, pem_of(reply.certificate), holder.name)
        self.page.acknowledged(self._keep(made))

    async def _revoke_one(self, sha256: bytes) -> None:
        holder = named_by(self.page.register.holders[sha256])
        self.page.asks(orders.revoke_one(sha256, f"{holder.role} {holder.name}"))
        await self._administer(lambda client: client.revoke_certificate(sha256, "chaos"))
        self.page.acknowledged()

    async def _show_again(self, digest: bytes, same: bool) -> None:
        """A used token once more: for its own key it gives what it gave, while that counts; else nothing."""
        register = self.page.register
        token = register.tokens[digest]
        if digest not in self.texts or not self._lasts(token.expires):
            return
        good = same and register.ends.get(token.certificate) == orders.COUNTS
        try:
            guest = await self._enrolled(digest, self.keys[digest] if same else new_key())
        except grpc.aio.AioRpcError as error:
            if good or error.code() is not _REFUSED:
                raise
            return
        if not good or self._keep(guest) != token.certificate:
            raise Broken(f"a used token of {self.tenant} gave {guest.uuid} a certificate it should not have")

    async def _enrolled(self, token: bytes, key: ec.EllipticCurvePrivateKey) -> TlsGuest:
        serving = self.serving
        async with asyncio.timeout(DEADLINE):
            return await TlsGuest.enrol(serving.enrolment_address, serving.authority, self.texts[token], key)

    async def _counts(self, shown: TlsGuest) -> bool:
        """Whether the SVM takes a certificate: at the door of those that it is for."""
        guest = is_uuid(shown.uuid)
        address = self.serving.address if guest else self.serving.administration_address
        async with shown.channel(address) as channel:
            try:
                if guest:
                    call = guest_pb2_grpc.ProtectionStub(channel).KsnInfo
                    await call(guest_pb2.KsnInfoRequest(), timeout=DEADLINE)
                else:
                    status = admin_pb2_grpc.AdministrationStub(channel).GetStatus
                    await status(admin_pb2.GetStatusRequest(), timeout=DEADLINE)
            except grpc.aio.AioRpcError as error:
                if error.code() is not _REFUSED:
                    raise
                return False
            return True

    def _keep(self, guest: TlsGuest) -> bytes:
        """Hold what was given; the SHA-256 of the certificate."""
        sha256 = hashlib.sha256(ssl.PEM_cert_to_DER_cert(guest.certificate.decode())).digest()
        self.held[sha256] = guest
        return sha256

    async def _administer(self, ask: Callable[[AdminClient], Replied]) -> Replied:
        def asked() -> Replied:
            with AdminClient(self.serving.admin, DEADLINE) as client:
                return ask(client)

        return await asyncio.to_thread(asked)
