"""A host's libvirt, followed: what happens to its machines is told as it happens, and that the connection
went.

libvirt has one event loop in a process. It runs in a thread of its own here, in which everything is told: who
hears of it hands it on, and asks nothing of libvirt there. It counts for connections that are opened after
it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import libvirt

from appliance.hypervisor.virt.connection import VirtHost, told

KEEPALIVE_SECONDS, KEEPALIVE_COUNT = 5, 3

# Called with the UUID of a machine of which something changed, None when the connection is gone.
Tell = Callable[[str | None], None]

_OTHER_KINDS = (
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
)


@cache
def start_loop() -> threading.Thread:
    """Have libvirt's event loop run, for the rest of this process."""
    libvirt.virEventRegisterDefaultImpl()
    # Something has to happen now and then, or the loop never looks at what was added beside it.
    libvirt.virEventAddTimeout(1000, lambda *_: None, None)
    thread = threading.Thread(target=_run, name="libvirt events", daemon=True)
    thread.start()
    return thread


@dataclass(frozen=True, slots=True)
class Followed:
    """A host that is open and told of. ids: what was registered for that."""

    host: VirtHost
    ids: tuple[int, ...]

    def close(self) -> None:
        """Let go of it; of one that is gone nothing is left either."""
        connection = self.host.connection
        for id_ in self.ids:
            with suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(id_)
        with suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()
        with suppress(libvirt.libvirtError):
            self.host.close()


def open_followed(uri: str, tell: Tell) -> Followed:
    """Open a host, and have it told of from now on; what was before is to be asked. Raises VirtError."""
    start_loop()
    host = VirtHost.open(uri)
    try:
        with told(f"libvirt at {uri} does not tell what happens"):
            return Followed(host, tuple(_follow(host.connection, tell)))
    except BaseException:
        host.close()
        raise


def _follow(connection: libvirt.virConnect, tell: Tell) -> Iterator[int]:
    def changed(_connection: Any, domain: libvirt.virDomain, *_: Any) -> None:
        tell(domain.UUIDString())

    with suppress(libvirt.libvirtError):  # a libvirt within this process needs none of both
        connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
        connection.registerCloseCallback(lambda *_: tell(None), None)
    # Without this one nobody hears of a machine that starts; of the others a libvirt may have none.
    yield connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, changed, None)
    for kind in _OTHER_KINDS:
        with suppress(libvirt.libvirtError):
            yield connection.domainEventRegisterAny(None, kind, changed, None)


def _run() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
