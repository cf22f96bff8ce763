"""A guest by hand over mutual TLS, at an SVM in this process."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from lightagent.v1 import guest_pb2_grpc

from appliance.identity.authority import pem_of
from appliance.identity.files import Wanted, make
from appliance.identity.keys import key_pem, new_key
from appliance.rpc.admin_line import SERVER_NAME
from tests.support.identities import MACHINE, PROVIDER, asked
from tests.support.svm import RawGuest, Svm


def with_authority(directory: Path) -> None:
    """Do what `svm init` does, for an SVM of `running_svm` in this directory."""
    make(directory / "state", Wanted("one", ["127.0.0.1"], days=(825, 825)), time.time())


@asynccontextmanager
async def enrolled_guest(
    svm: Svm, address: str, options: Sequence[tuple[str, int]] = (), tenant: str = "default"
) -> AsyncIterator[RawGuest]:
    """A guest that enrolls and attaches. address: HOST:PORT at which it reaches the guests' door."""
    assert svm.parts.identity is not None
    registry, key = svm.parts.identity.registry, new_key()
    token = await registry.token(tenant, "", 3600, PROVIDER)
    certificate = pem_of((await registry.enrol(token.text, asked(key=key))).certificate)
    credentials = grpc.ssl_channel_credentials(registry.authority.pem, key_pem(key), certificate)
    named = ("grpc.ssl_target_name_override", SERVER_NAME)
    async with grpc.aio.secure_channel(address, credentials, options=(*options, named)) as channel:
        guest = RawGuest(guest_pb2_grpc.ProtectionStub(channel), (), channel=channel, machine=MACHINE)
        await guest.say_hello()
        yield guest
