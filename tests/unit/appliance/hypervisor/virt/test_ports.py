"""Ports of machines: what comes waits, what does not come is not waited for."""

import queue

import libvirt
import pytest

from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.ports import Port, opened


class Stream:
    """A stream of libvirt's, as a port uses it."""

    def __init__(self) -> None:
        self.came: queue.Queue[bytes] = queue.Queue()
        self.said = b""
        self.aborted = False

    def recv(self, _size: int) -> bytes:
        """Wait for it, as libvirt does."""
        return self.came.get()

    def send(self, content: bytes) -> int:
        """Take three bytes of it."""
        if self.aborted:
            raise libvirt.libvirtError("it is over")
        self.said += content[:3]
        return len(content[:3])

    def abort(self) -> None:
        """Wake who waits."""
        self.aborted = True
        self.came.put(b"")


def test_all_is_said_and_what_comes_is_read() -> None:
    """In pieces, as they come; nothing is b""."""
    stream = Stream()
    port = Port(stream, "m")
    port.write(b"1234567")
    assert stream.said == b"1234567"
    stream.came.put(b"ab")
    assert port.read(60.0) == b"ab"
    assert port.read(0.0) == b""
    stream.came.put(b"")
    with pytest.raises(EOFError):
        port.read(60.0)


def test_one_that_is_over_takes_nothing() -> None:
    """It says which machine's."""
    stream = Stream()
    port = Port(stream, "m")
    stream.abort()
    with pytest.raises(VirtError, match="the port of m takes nothing"):
        port.write(b"1")


def test_a_port_that_is_not_there_is_a_sentence() -> None:
    """A machine without it, and no machine."""
    with VirtHost.open("test:///default") as host:
        for machine in ("test", "none"):
            with (
                pytest.raises(VirtError, match=f"the port p of {machine} cannot be opened"),
                opened(host, machine, "p"),
            ):
                pass
