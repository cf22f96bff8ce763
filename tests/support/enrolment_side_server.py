"""An SVM's doors on TCP for tests of the stub: real TLS, an authority of its own, and able to misbehave.

Guests enrol at one port and are served at another, over the certificate that they got. It keeps the rules of
enrolment.proto by itself: a token is good once, but for the same key the same answer is given again.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from grpc import aio
from lightagent.v1 import enrolment_pb2, enrolment_pb2_grpc, guest_pb2_grpc

from guest_stub.identity.enrolling import Place
from guest_stub.identity.kept import Identity, pem
from guest_stub.identity.store import IdentityStore
from tests.support.authority import DAY, Authority, Issued, Wanted, guest_uri
from tests.support.guest_side_server import AttachContext, Behaviour, GuestSideServer
from tests.support.held_files import until

TOKEN = "kvmla1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

EnrolContext = aio.ServicerContext[enrolment_pb2.EnrolRequest, enrolment_pb2.Enrolled]
RenewContext = aio.ServicerContext[enrolment_pb2.RenewRequest, enrolment_pb2.Enrolled]


@dataclass
class Register:
    """What this SVM knows of guests, and what a test has it do.

    alter: what becomes of an answer before it is sent. lose: how many answers are lost on their way. life,
    renew_after: of certificates, in seconds. revoked: the guests whose certificates do not count, and why.
    """

    tenant: str = "default"
    life: float = 30 * DAY
    renew_after: float = 20 * DAY
    lose: int = 0
    alter: Callable[[enrolment_pb2.Enrolled], enrolment_pb2.Enrolled] | None = None
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    revoked: dict[str, str] = field(default_factory=dict)
    asked: list[enrolment_pb2.EnrolRequest | enrolment_pb2.RenewRequest] = field(default_factory=list)
    shown: list[bytes] = field(default_factory=list)  # certificates of those who attached, PEM
    answers: dict[tuple[str, bytes], enrolment_pb2.Enrolled] = field(default_factory=dict)


class TlsSideServer(GuestSideServer):
    """The services of guests who show a certificate."""

    def __init__(self, authority: Authority, register: Register, behaviour: Behaviour) -> None:
        super().__init__(Path("/nowhere"), behaviour)
        self.authority = authority
        self.register = register
        self.port = self.enrolment_port = 0
        self.vouching = asyncio.Event()  # nobody is looked at before it is set
        self.vouching.set()
        self._attached = 0

    @property
    def target(self) -> str:
        """As `guest-stub` takes it."""
        return f"tcp:127.0.0.1:{self.port}"

    @property
    def place(self) -> Place:
        """Where it is, for one who enrols."""
        return Place("127.0.0.1", self.port, self.enrolment_port, bytes.fromhex(self.authority.fingerprint))

    @property
    def words(self) -> list[str]:
        """The words of `guest-stub enrol`, but the token."""
        where = ["--svm", f"127.0.0.1:{self.port}", "--enrolment-port", str(self.enrolment_port)]
        return [*where, "--ca-fingerprint", self.authority.fingerprint]

    async def vouch(self, context: aio.ServicerContext[Any, Any]) -> None:
        """End the call of a guest whose certificate does not count."""
        await self.vouching.wait()
        guest = _guest(context)
        if guest in self.register.revoked:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, self.register.revoked[guest])

    async def Attach(self, request_iterator: object, context: AttachContext) -> None:
        """A second one ends the first."""
        await self.vouch(context)
        if self._attached:
            self.end_attach()
            await until(lambda: not self._attach_end.is_set())
        self.register.shown.append(_shown(context))
        self._attached += 1
        try:
            await super().Attach(request_iterator, context)
        finally:
            self._attached -= 1

    async def Enrol(
        self, request: enrolment_pb2.EnrolRequest, context: EnrolContext
    ) -> enrolment_pb2.Enrolled:
        """A certificate for a token."""
        self.register.asked.append(request)
        key = _key_of(request.csr)
        known = self.register.answers.get((request.token, key))
        if known is None:
            if request.token not in self.register.tokens:
                await context.abort(
                    grpc.StatusCode.UNAUTHENTICATED, "the token is not known, was used, or is over"
                )
            self.register.tokens.discard(request.token)
            known = self._issue(str(uuid.uuid4()), request.csr)
            self.register.answers[request.token, key] = known
        return await self._answer(known, context)

    async def Renew(
        self, request: enrolment_pb2.RenewRequest, context: RenewContext
    ) -> enrolment_pb2.Enrolled:
        """The next certificate for the guest that has shown one."""
        await self.vouch(context)
        self.register.asked.append(request)
        return await self._answer(self._issue(_guest(context), request.csr), context)

    async def _answer(
        self, answer: enrolment_pb2.Enrolled, context: EnrolContext | RenewContext
    ) -> enrolment_pb2.Enrolled:
        if self.register.lose:
            self.register.lose -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        altered = enrolment_pb2.Enrolled.FromString(answer.SerializeToString())
        return altered if self.register.alter is None else self.register.alter(altered)

    def _issue(self, guest: str, csr: bytes) -> enrolment_pb2.Enrolled:
        key = x509.load_der_x509_csr(csr).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        wanted = Wanted(guest_uri(guest, self.register.tenant), ends=self.register.life)
        issued = self.authority.issue(wanted, key)
        answer = enrolment_pb2.Enrolled(
            certificate=issued.der,
            chain=self.authority.chain,
            guest=guest,
            tenant=self.register.tenant,
        )
        answer.renew_after.FromNanoseconds(int(self.register.renew_after * 1e9))
        answer.ends.FromDatetime(issued.certificate.not_valid_after_utc)
        return answer


def _shown(context: aio.ServicerContext[Any, Any]) -> bytes:
    (shown,) = context.auth_context()["x509_pem_cert"]
    return bytes(shown)


def _guest(context: aio.ServicerContext[Any, Any]) -> str:
    certificate = x509.load_pem_x509_certificate(_shown(context))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0].rpartition("/")[2]


def _key_of(csr: bytes) -> bytes:
    return (
        x509.load_der_x509_csr(csr).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


@asynccontextmanager
async def tls_serving(
    behaviour: Behaviour | None = None,
    register: Register | None = None,
    authority: Authority | None = None,
    own: Issued | None = None,
    ports: tuple[int, int] = (0, 0),
) -> AsyncIterator[TlsSideServer]:
    """A serving SVM on two ports. own: its certificate, where not a sound one. ports: guests', enrolment."""
    authority = authority or Authority()
    side = TlsSideServer(authority, register or Register(), behaviour or Behaviour())
    own = own or authority.server()
    pair = [(own.key_pem, own.pem + b"".join(pem(each).encode() for each in authority.chain))]
    guests, enrolment = aio.server(), aio.server()
    # grpc.aio also takes coroutines that read and write, which the generated types do not know.
    servicer = cast("Any", side)
    guest_pb2_grpc.add_ProtectionServicer_to_server(servicer, guests)
    enrolment_pb2_grpc.add_RenewalServicer_to_server(servicer, guests)
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(servicer, enrolment)
    mutual = grpc.ssl_server_credentials(pair, authority.issued.pem, require_client_auth=True)
    side.port = guests.add_secure_port(f"127.0.0.1:{ports[0]}", mutual)
    side.enrolment_port = enrolment.add_secure_port(
        f"127.0.0.1:{ports[1]}", grpc.ssl_server_credentials(pair)
    )
    await guests.start()
    await enrolment.start()
    try:
        yield side
    finally:
        await guests.stop(None)
        await enrolment.stop(None)


def enrolled(
    side: TlsSideServer, store: IdentityStore, begins: float = -3600.0, ends: float = 30 * DAY
) -> Identity:
    """Give a state directory an identity of this SVM without asking it. begins, ends: seconds from now."""
    guest = str(uuid.uuid4())
    issued, now = side.authority.guest(guest, begins, ends), time.time()
    identity = Identity(
        side.target, guest, "default", side.authority.issued.pem.decode(), issued.pem.decode(),
        issued.key_pem.decode(), now + begins, now + ends, now + ends * 2 / 3, "test",
    )  # fmt: skip
    with store.open() as opened:
        opened.keep(identity)
    return identity
