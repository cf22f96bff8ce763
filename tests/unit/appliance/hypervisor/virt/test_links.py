"""The links of a machine of libvirt's own test host, which sets none; tests/integration has one that does."""

from pathlib import Path

import pytest

from appliance.hypervisor.virt.connection import VirtError, VirtHost
from appliance.hypervisor.virt.links import read_links, set_links
from tests.support.virt_test_host import MACS, UUID, own_test_host

ALL = {MACS[0]: "", MACS[1]: "down", f"{MACS[1]}#1": ""}


def test_each_link_is_told_with_its_state(tmp_path: Path) -> None:
    """By its address, also where two have the same; without those that are to be kept."""
    with VirtHost.open(own_test_host(tmp_path)) as host:
        assert read_links(host, UUID) == {"live": ALL, "config": ALL}
        others = {name: state for name, state in ALL.items() if name != MACS[0]}
        assert read_links(host, UUID, {"kvmla-protection"}) == {"live": others, "config": others}
        host.connection.lookupByUUIDString(UUID).destroy()
        assert read_links(host, UUID) == {"config": ALL}


def test_what_cannot_be_set_is_told_link_by_link(tmp_path: Path) -> None:
    """What is as it is to be is left alone, and what is not there is passed over."""
    with VirtHost.open(own_test_host(tmp_path)) as host:
        wanted = {"live": {MACS[0]: "", MACS[1]: "down", "52:54:00:00:00:09": "down"}}
        assert set_links(host, UUID, wanted) == []
        problems = set_links(host, UUID, {"live": {MACS[0]: "down"}})
        assert len(problems) == 1
        assert problems[0].startswith(f"link {MACS[0]} (live): ")


def test_no_such_machine_is_a_sentence(tmp_path: Path) -> None:
    """For both."""
    with VirtHost.open(own_test_host(tmp_path)) as host:
        for act in (lambda: read_links(host, "nobody"), lambda: set_links(host, "nobody", {})):
            with pytest.raises(VirtError, match="has no machine nobody"):
                act()
