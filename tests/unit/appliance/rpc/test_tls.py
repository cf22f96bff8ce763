"""Mutual TLS 1.3."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.guest import Guest
from appliance.rpc.identity import ByCertificate, Callers
from appliance.rpc.server import Address, Server, ServerBounds
from appliance.rpc.tls import ServerIdentity, server_credentials
from tests.support.certificates import Certificate, self_signed
from tests.support.relay import free_port
from tests.support.svm import DEADLINE

BOUNDS = ServerBounds()
STATUS = "/lightagent.v1.Administration/GetStatus"


class OneCertificate:
    """A register with a single entry."""

    def __init__(self, certificate: Certificate) -> None:
        self._known = certificate.certificate.read_bytes()

    def caller(self, pem: bytes) -> Caller:
        """Its holder."""
        if pem.strip() != self._known.strip():
            raise NotAdmitted("this certificate is not in the register")
        return Caller("holder", Role.PROVIDER)

    def guest(self, pem: bytes) -> Guest:
        """Its holder."""
        return Guest(self.caller(pem).name)


@asynccontextmanager
async def tls_server(
    server: Certificate, client: Certificate, bounds: ServerBounds = BOUNDS
) -> AsyncIterator[str]:
    """The address of a server that admits the client's certificate."""
    identity = ServerIdentity(
        server.certificate.read_bytes(), server.key.read_bytes(), client.certificate.read_bytes()
    )
    address = f"127.0.0.1:{free_port()}"
    made = Server(
        Address.parse(f"tcp:{address}"),
        0,
        Callers(ByCertificate(OneCertificate(client))),
        bounds,
        credentials=server_credentials(identity, mutual=True),
    )

    async def answer(_said: bytes, _context: object) -> bytes:
        return b""  # any message without its fields

    handlers = {"GetStatus": grpc.unary_unary_rpc_method_handler(answer)}
    made.grpc.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("lightagent.v1.Administration", handlers),)
    )
    await made.start()
    try:
        yield address
    finally:
        await made.stop(0)


async def ask(address: str, server: Certificate, own: Certificate | None) -> bytes:
    """Call, with a certificate or without."""
    files = (own.key.read_bytes(), own.certificate.read_bytes()) if own is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(server.certificate.read_bytes(), *files)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        answer: bytes = await channel.unary_unary(STATUS, None, None)(b"", timeout=DEADLINE)
        return answer


async def test_who_shows_a_certificate_that_counts_is_let_in(tmp_path: Path) -> None:
    """And nobody without one."""
    server, client = self_signed(tmp_path, "svm"), self_signed(tmp_path, "client")
    async with tls_server(server, client) as address:
        assert await ask(address, server, client) == b""
        for other in (None, self_signed(tmp_path, "stranger")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(address, server, other)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("version", "agreed"), [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)]
)
async def test_no_tls_before_1_3_is_spoken(tmp_path: Path, version: ssl.TLSVersion, agreed: bool) -> None:
    """A client that knows nothing newer does not get through the handshake."""
    server, client = self_signed(tmp_path, "svm"), self_signed(tmp_path, "client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(server.certificate)
    context.load_cert_chain(client.certificate, client.key)
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    async with tls_server(server, client) as address:
        host, port = address.split(":")
        opening = asyncio.open_connection(host, int(port), ssl=context)
        if agreed:
            _, writer = await asyncio.wait_for(opening, DEADLINE)
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
            writer.transport.abort()
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.wait_for(opening, DEADLINE)
