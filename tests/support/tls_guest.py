"""A guest on TCP with a certificate, by hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from lightagent.v1 import enrolment_pb2, enrolment_pb2_grpc, guest_pb2, guest_pb2_grpc

from appliance.domain.identity import SERVER_NAME
from appliance.identity.authority import pem_of
from appliance.identity.keys import csr_for, key_pem, new_key
from tests.support.identities import MACHINE
from tests.support.svm import DEADLINE, RawGuest

_NAMED = (("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.use_local_subchannel_pool", 1))
DAEMON = guest_pb2.GUEST_PROGRAM_DAEMON


@dataclass
class TlsGuest:
    """What it keeps. ca: PEM of the authority that it knows."""

    ca: bytes
    key: ec.EllipticCurvePrivateKey
    certificate: bytes
    uuid: str

    @classmethod
    async def enrol(
        cls, address: str, ca: bytes, token: str, key: ec.EllipticCurvePrivateKey | None = None
    ) -> "TlsGuest":
        """Turn a token into a certificate. address: of the SVM's door for that."""
        own = key or new_key()
        request = enrolment_pb2.EnrolRequest(token=token, csr=csr_for(own), machine=MACHINE, host_name="raw")
        credentials = grpc.ssl_channel_credentials(ca)
        async with grpc.aio.secure_channel(address, credentials, _NAMED) as channel:
            reply = await enrolment_pb2_grpc.EnrolmentStub(channel).Enrol(request, timeout=DEADLINE)
        return cls(ca, own, pem_of(reply.certificate), reply.guest)

    async def renew(self, address: str, key: ec.EllipticCurvePrivateKey) -> "TlsGuest":
        """Get a newer certificate over the own one."""
        request = enrolment_pb2.RenewRequest(csr=csr_for(key), machine=MACHINE)
        async with self.channel(address) as channel:
            reply = await enrolment_pb2_grpc.RenewalStub(channel).Renew(request, timeout=DEADLINE)
        return TlsGuest(self.ca, key, pem_of(reply.certificate), reply.guest)

    def channel(self, address: str, options: Sequence[tuple[str, int]] = ()) -> grpc.aio.Channel:
        """A new connection, on which it proves itself."""
        credentials = grpc.ssl_channel_credentials(self.ca, key_pem(self.key), self.certificate)
        return grpc.aio.secure_channel(address, credentials, (*options, *_NAMED))

    @asynccontextmanager
    async def connect(
        self, address: str, session: str = "0" * 16, options: Sequence[tuple[str, int]] = ()
    ) -> AsyncIterator[RawGuest]:
        """A guest that can speak on a connection of its own."""
        async with self.channel(address, options) as channel:
            stub, metadata = guest_pb2_grpc.ProtectionStub(channel), (("session", session),)
            yield RawGuest(stub, metadata, channel=channel, machine=MACHINE)


async def attach(guest: RawGuest, boot: str = "A", machine: bytes = MACHINE) -> Any:
    """Attach as a daemon, and read to the first generation; the stream. Raises AioRpcError."""
    guest.attach = guest.stub.Attach(metadata=guest.metadata)
    hello = guest_pb2.Hello(host_name="raw", program=DAEMON, boot_id=boot, machine=machine)
    await guest.attach.write(guest_pb2.AttachRequest(hello=hello))
    while True:
        message = await asyncio.wait_for(guest.attach.read(), DEADLINE)
        assert isinstance(message, guest_pb2.AttachReply)
        if message.WhichOneof("message") == "generation":
            return guest.attach


async def ended(stream: Any) -> tuple[grpc.StatusCode, str]:
    """How a stream ends, which it has to within a deadline."""
    code = await asyncio.wait_for(stream.code(), DEADLINE)
    return code, await stream.details() or ""
