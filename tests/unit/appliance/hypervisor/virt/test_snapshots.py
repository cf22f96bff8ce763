"""Snapshots on libvirt's own test host; tests/integration has one of a real machine."""

from pathlib import Path

import pytest

from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.snapshots import make_snapshot
from tests.support.virt_test_host import UUID, own_test_host


def test_a_snapshot_is_made_once(tmp_path: Path) -> None:
    """By its name; the second time it is there."""
    with VirtHost.open(own_test_host(tmp_path)) as host:
        assert "memory" in make_snapshot(host, UUID, "one")
        assert make_snapshot(host, UUID, "one") == "as it was made before"
        assert host.connection.lookupByUUIDString(UUID).snapshotListNames() == ["one"]


def test_why_there_is_none_is_told(tmp_path: Path) -> None:
    """Of each way that was tried."""
    with VirtHost.open(own_test_host(tmp_path)) as host:
        with pytest.raises(VirtError, match=r"no snapshot of machine test: .*; .*"):
            make_snapshot(host, UUID, "<&")
        with pytest.raises(VirtError, match="no snapshot of machine nobody"):
            make_snapshot(host, "nobody", "one")
