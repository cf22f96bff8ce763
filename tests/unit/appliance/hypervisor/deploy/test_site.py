"""Whether an SVM can be deployed on a host, by the one that libvirt has for tests."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment
from appliance.hypervisor.deploy.domain_xml import Placed
from appliance.hypervisor.deploy.images import in_memory
from appliance.hypervisor.deploy.site import DeployError, check_host, check_room, standing
from appliance.hypervisor.deploy.storage_xml import pool
from appliance.hypervisor.virt import volumes
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.vm import METADATA_URI

FITS = replace(Deployment(), type="test", memory_mib=2048, vcpus=2)
NETWORK = "<network><name>{name}</name><bridge name='{bridge}'/>{ip}</network>"
MACHINE = """<domain type='test'><name>{name}</name><metadata>{metadata}</metadata><memory>65536</memory>
<os><type>hvm</type></os></domain>"""


@pytest.fixture
def host() -> Iterator[VirtHost]:
    """libvirt's own, with a network "default" of 192.168.122.0/24."""
    with VirtHost.open("test:///default") as opened:
        yield opened


def test_a_host_that_has_room_is_taken(host: VirtHost) -> None:
    """Nothing is changed by the look."""
    check_host(host, FITS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"type": "kvm"}, "runs no machines of type kvm: is virtualization on .* --type says which"),
        ({"memory_mib": 4096}, "--memory 4096 is more than .* has: give less than its 3072 MiB"),
        ({"vcpus": 64}, "--vcpus 64 is more than .* has: give 1 to 16"),
        ({"network": "default"}, "the network default is there and not ours: .* --network"),
        ({"host_network": "default"}, "the network default is there and not ours: .* --host-network"),
        ({"bridge": "virbr0"}, "the bridge virbr0 is of the network default"),
        ({"address": "192.168.122.9/25"}, "is in use: the network default has 192.168.122.0/24"),
        ({"host_address": "192.168.122.1/24"}, "--host-address 192.168.122.1/24 is in use"),
        ({"pool": "default-pool"}, "the storage pool default-pool is there and not ours"),
    ],
)
def test_what_a_host_lacks_is_a_sentence(host: VirtHost, changes: dict[str, object], sentence: str) -> None:
    """With what to say instead."""
    with pytest.raises((DeployError, BadDeployment), match=sentence):
        check_host(host, replace(FITS, **changes))  # type: ignore[arg-type]


def test_a_name_that_a_machine_has_is_taken(host: VirtHost) -> None:
    """The machine is not touched."""
    with pytest.raises(DeployError, match="the name test is taken by a machine that is no SVM"):
        standing(host, "test")
    assert standing(host, "kvmla-svm") is None


def test_a_guest_that_is_marked_is_no_svm(host: VirtHost) -> None:
    """Its metadata are of the same namespace."""
    host.connection.defineXML(
        MACHINE.format(
            name="guest",
            metadata=f"<kvmla:protection xmlns:kvmla='{METADATA_URI}' tenant='acme'/>",
        )
    )
    check_host(host, FITS)
    with pytest.raises(DeployError, match="is taken"):
        standing(host, "guest")


def test_another_svm_keeps_what_it_has(host: VirtHost) -> None:
    """One pool and one network is one SVM's."""
    placed = Placed(replace(FITS, name="first"), "h", healthy=True)
    metadata = placed.metadata().replace("<protection", f"<kvmla:protection xmlns:kvmla='{METADATA_URI}'", 1)
    host.connection.defineXML(
        MACHINE.format(name="first", metadata=metadata.replace("</protection", "</kvmla:protection"))
    )
    assert standing(host, "first") == placed
    with pytest.raises(DeployError, match="the pool kvmla is of the SVM first: upgrade that one"):
        check_host(host, FITS)
    check_host(host, replace(FITS, pool="p2", network="n2", bridge="b2", host_network="h2", host_bridge="c2"))


def test_a_pool_without_room_is_told(host: VirtHost, tmp_path: Path) -> None:
    """Before anything is written into it."""
    deployment = replace(FITS, pool_dir=str(tmp_path))
    volumes.define_pool(host, "kvmla", pool(deployment))
    volumes.start_pool(host, "kvmla")
    check_room(host, deployment, [in_memory("a", b"1")])
    vast = replace(in_memory("a", b"1"), size=2**50)
    with pytest.raises(DeployError, match=r"has [\d,]+ MiB free, and [\d,]+ are needed: make room"):
        check_room(host, deployment, [vast])
