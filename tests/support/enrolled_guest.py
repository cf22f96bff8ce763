"""A guest by hand over mutual TLS, at an SVM in this process."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from appliance.identity.authority import pem_of
from appliance.identity.files import Wanted, make
from appliance.identity.keys import new_key
from tests.support.identities import PROVIDER, asked
from tests.support.svm import RawGuest, Svm
from tests.support.tls_guest import TlsGuest


def with_authority(directory: Path) -> None:
    """Do what `svm init` does, for an SVM of `running_svm` in this directory."""
    make(directory / "state", Wanted("one", ["127.0.0.1"], days=(825, 825)), time.time())


@asynccontextmanager
async def enrolled_guest(
    svm: Svm, address: str, options: Sequence[tuple[str, int]] = ()
) -> AsyncIterator[RawGuest]:
    """A guest that enrolls and attaches. address: HOST:PORT at which it reaches the guests' door."""
    assert svm.parts.identity is not None
    registry, key = svm.parts.identity.registry, new_key()
    token = await registry.token("default", "", 3600, PROVIDER)
    made = await registry.enrol(token.text, asked(key=key))
    identity = TlsGuest(registry.authority.pem, key, pem_of(made.certificate), made.guest.uuid)
    async with identity.connect(address, options=options) as guest:
        await guest.say_hello()
        yield guest
