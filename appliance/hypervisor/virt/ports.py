"""A port of a running machine (virtio-serial), spoken to through libvirt: from another host as well.

libvirt's reads wait for as long as it takes: one thread reads, and what came is asked for with a deadline.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import libvirt

from appliance.hypervisor.virt.connection import VirtHost, told

_CHUNK = 16 * 1024
_MAX_CHUNKS = 64  # of what a machine says that nobody asked for; the rest waits in the machine


class Port:
    """An open port, for the length of a `with` of `opened`."""

    def __init__(self, stream: libvirt.virStream, name: str) -> None:
        """name: of the machine, for sentences."""
        self._stream = stream
        self._name = name
        self._came: queue.Queue[bytes] = queue.Queue(_MAX_CHUNKS)
        self._closed = False
        threading.Thread(target=self._read, name=f"port of {name}", daemon=True).start()

    def write(self, content: bytes) -> None:
        """Say something. Raises VirtError."""
        with told(f"the port of {self._name} takes nothing"):
            while content:
                content = content[self._stream.send(content) :]

    def read(self, seconds: float) -> bytes:
        """What came, waiting so long for it; b"" for nothing yet. Raises EOFError where it is closed."""
        try:
            came = self._came.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            return b""
        if not came:
            raise EOFError
        return came

    def _read(self) -> None:
        with suppress(libvirt.libvirtError):
            while not self._closed and (came := self._stream.recv(_CHUNK)):
                self._came.put(came)
        with suppress(queue.Full):
            self._came.put_nowait(b"")

    def _close(self) -> None:
        self._closed = True
        with suppress(libvirt.libvirtError):
            self._stream.abort()
        with suppress(queue.Empty):
            while True:  # the thread may wait for room
                self._came.get_nowait()


@contextmanager
def opened(host: VirtHost, machine: str, port: str) -> Iterator[Port]:
    """Open a port of a machine; who had it before is cut off. Raises VirtError."""
    with told(f"the port {port} of {machine} cannot be opened"):
        domain = host.connection.lookupByName(machine)
        stream = host.connection.newStream()
        domain.openChannel(port, stream, libvirt.VIR_DOMAIN_CHANNEL_FORCE)
    found = Port(stream, machine)
    try:
        yield found
    finally:
        found._close()
