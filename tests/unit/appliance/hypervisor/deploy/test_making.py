"""Single steps, where they meet what they did not make."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.making import Making, remove_network, remove_unused
from appliance.hypervisor.deploy.network_xml import guests_network
from appliance.hypervisor.virt import networks, volumes
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from tests.support.deployments import disk, everything, site_of, wanted

GUEST = """<domain type='test'><name>guest</name><memory>65536</memory><os><type>hvm</type></os><devices>
<interface type='network'><source network='kvmla-protection'/></interface></devices></domain>"""


def test_a_host_that_cannot_keep_the_bridges_table_goes_without(
    test_host: VirtHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel has no vlan_filtering; whatever else fails is told."""
    real = networks.start

    def start(host: VirtHost, name: str) -> None:
        if "macTableManager" in host.connection.networkLookupByName(name).XMLDesc():
            raise VirtError("Unable to set bridge kvmla0 vlan_filtering")
        real(host, name)

    monkeypatch.setattr(networks, "start", start)
    told = list[str]()
    Making(site_of(test_host, told.append), replace(Deployment(), type="test"), None).networks()
    assert networks.is_up(test_host, "kvmla-protection")
    assert [each for each in told if "a guest may take over the SVM's hardware address" in each]

    def fails(_host: VirtHost, _name: str) -> None:
        raise VirtError("it failed")

    monkeypatch.setattr(networks, "start", fails)
    networks.remove(test_host, "kvmla-protection")
    with pytest.raises(VirtError, match="it failed"):
        Making(site_of(test_host), replace(Deployment(), type="test"), None).networks()


def test_a_network_of_another_address_is_made_anew(test_host: VirtHost) -> None:
    """It is left from a deployment that is no more."""
    for address in ("10.113.1.1/24", "10.114.1.1/24"):
        Making(site_of(test_host), replace(Deployment(), host_address=address), None).networks()
    xml = test_host.connection.networkLookupByName("kvmla-host").XMLDesc()
    assert "10.114.1.1" in xml


def test_a_network_that_a_guest_has_a_port_in_stays(test_host: VirtHost) -> None:
    """And so does one of the name that is not ours."""
    site = site_of(test_host)
    networks.define(test_host, "kvmla-protection", guests_network(Deployment()))
    guest = test_host.connection.defineXML(GUEST)
    assert remove_network(site, "kvmla-protection", "kvmla-svm") == ["guest"]
    guest.undefine()
    assert remove_network(site, "kvmla-protection", "kvmla-svm") == []
    assert networks.uuid_of(test_host, "kvmla-protection") == ""
    assert remove_network(site, "default", "kvmla-svm") == []
    assert networks.uuid_of(test_host, "default") != ""


def test_a_volume_that_no_machine_refers_to_is_written_anew(test_host: VirtHost, tmp_path: Path) -> None:
    """A run that was killed may have written half of it. The state is never written anew."""
    deployment, parts = wanted(disk(tmp_path / "a.qcow2"), type="test", pool_dir=str(tmp_path))
    for _ in range(2):
        making = Making(site_of(test_host), deployment, None)
        making.pool()
        making.volumes(parts)
    assert [step.split(",")[0] for step in making.made] == [f"volume {part.name}" for part in parts]


def test_volumes_of_earlier_systems_are_removed_and_no_others(test_host: VirtHost, tmp_path: Path) -> None:
    """What somebody else put into the pool is his."""
    deployment, parts = wanted(disk(tmp_path / "a.qcow2"), type="test", pool_dir=str(tmp_path))
    making = Making(site_of(test_host), deployment, None)
    making.pool()
    making.volumes(parts)
    for name in ("svm-system-000000000000.qcow2", "backup.qcow2"):
        xml = f"<volume><name>{name}</name><capacity>1</capacity></volume>"
        volumes.make(test_host, "kvmla", name, xml)
    assert remove_unused(site_of(test_host), deployment) == ["svm-system-000000000000.qcow2"]
    assert "volume backup.qcow2" in everything(test_host)
