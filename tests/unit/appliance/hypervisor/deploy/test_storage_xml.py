"""What libvirt is told of pool and volumes."""

from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.storage_xml import pool, volume
from appliance.hypervisor.virt import volumes
from appliance.hypervisor.virt.connection import VirtHost
from tests.support import golden


def test_the_pool() -> None:
    """As in its golden file."""
    golden.check("deploy/pool.xml", pool(Deployment()))


def test_a_volume_that_is_filled_and_one_that_grows() -> None:
    """As in their golden files."""
    golden.check("deploy/volume-raw.xml", volume("svm-seed-1.iso", 59392, "raw"))
    golden.check("deploy/volume-qcow2.xml", volume("svm-state.qcow2", 2**30, "qcow2"))


def test_libvirt_takes_them() -> None:
    """Both kinds."""
    with VirtHost.open("test:///default") as host:
        volumes.define_pool(host, "kvmla", pool(Deployment()))
        volumes.start_pool(host, "kvmla")
        for kind in ("raw", "qcow2"):
            volumes.make(host, "kvmla", f"a.{kind}", volume(f"a.{kind}", 2**20, kind))
        assert volumes.names(host, "kvmla") == ["a.qcow2", "a.raw"]
