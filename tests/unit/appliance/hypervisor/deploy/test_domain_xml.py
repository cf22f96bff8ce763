"""What libvirt is told of the domain, and read from it."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.domain_xml import Placed, console_log, domain
from tests.support import golden

IMAGE = replace(Deployment(), system="svm-system-1.qcow2", seed="svm-seed-1.iso")
DIRECT = replace(
    IMAGE,
    type="qemu",
    reserve=False,
    system="svm-system-2.qcow2",
    kernel="svm-kernel-2",
    initrd="svm-initrd-2",
    append="systemd.journald.forward_to_console=1 <&>",
)


def paths(deployment: Deployment) -> dict[str, str]:
    """Where its volumes are."""
    return {name: f"/pool/{name}" for name in (*deployment.volumes, deployment.state)}


@pytest.mark.parametrize(("name", "deployment"), [("domain-kvm", IMAGE), ("domain-qemu-direct", DIRECT)])
def test_a_domain(name: str, deployment: Deployment) -> None:
    """As in its golden file."""
    uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    golden.check(f"deploy/{name}.xml", domain(Placed(deployment, "host-1"), uuid, paths(deployment)))


def test_a_domain_whose_upgrade_is_under_way() -> None:
    """It says what it was before."""
    placed = Placed(DIRECT, "host-1", before=IMAGE)
    golden.check("deploy/domain-upgrading.xml", domain(placed, "", paths(DIRECT)))


def test_it_has_no_way_to_the_hypervisor() -> None:
    """No file system of the host, no device of it, no display, no agent that the host listens to."""
    for deployment in (IMAGE, DIRECT):
        root = ET.fromstring(domain(Placed(deployment, "h"), "", paths(deployment)))
        devices = {element.tag for element in root.iterfind("devices/*")}
        assert devices == {
            *("disk", "controller", "interface", "serial", "channel", "watchdog", "rng", "memballoon")
        }
        ports = [element.get("name") for element in root.iterfind("devices/channel/target")]
        assert ports == ["org.kvm_light_agent.deploy.0"]


def test_it_is_read_as_it_was_written() -> None:
    """With its namespace and without."""
    for placed in (Placed(IMAGE, "h", healthy=True), Placed(DIRECT, 'h"<', before=IMAGE)):
        assert Placed.read(placed.metadata()) == placed
    root = ET.fromstring(domain(Placed(IMAGE, "h"), "", paths(IMAGE)))
    (element,) = root.iterfind("metadata/*")
    assert Placed.read(ET.tostring(element, encoding="unicode")) == Placed(IMAGE, "h")


@pytest.mark.parametrize("metadata", ["<protection role='guest' tenant='acme'/>", "<protection role='svm'/>"])
def test_what_is_no_svm_of_ours_is_none(metadata: str) -> None:
    """A guest's metadata is of the same namespace."""
    assert Placed.read(metadata) is None


def test_its_console_is_kept_by_the_host() -> None:
    """In a file that its sentences name."""
    xml = domain(Placed(IMAGE, "h"), "", paths(IMAGE))
    assert f"<log file='{console_log(IMAGE)}'" in xml
