"""What libvirt tells of machines as it happens, on its own test host."""

import queue
from pathlib import Path

import pytest

from appliance.hypervisor.virt.connection import VirtError
from appliance.hypervisor.virt.events import open_followed, start_loop
from tests.support.virt_test_host import UUID, own_test_host


def test_what_happens_to_a_machine_is_told(tmp_path: Path) -> None:
    """By its UUID, in libvirt's own thread; one thread for all hosts."""
    told: queue.Queue[str | None] = queue.Queue()
    followed = open_followed(own_test_host(tmp_path), told.put)
    for change in ("destroy", "create"):
        getattr(followed.host.connection.lookupByUUIDString(UUID), change)()
        assert told.get(timeout=30) == UUID
    followed.close()
    followed.close()
    assert start_loop() is start_loop()


def test_no_libvirt_is_a_sentence() -> None:
    """The same as without following."""
    with pytest.raises(VirtError, match="no libvirt answers"):
        open_followed("qemu+unix:///system?socket=/nowhere/libvirt-sock", lambda _: None)
