"""What was deployed is removed."""

import re
from pathlib import Path

import pytest

from appliance.hypervisor.deploy.deploying import deploy
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.removing import undeploy
from appliance.hypervisor.deploy.site import DeployError
from appliance.hypervisor.virt.connection import VirtHost
from tests.support.deployments import disk, everything, site_of, wanted
from tests.support.failing_libvirt import CHANGES, SENTENCE, Calls, complaint

GUEST = """<domain type='test'><name>guest</name><memory>65536</memory><os><type>hvm</type></os><devices>
<interface type='network'><source network='kvmla-protection'/></interface></devices></domain>"""


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Deployment, list[Part]]:
    """A deployment for libvirt's test host."""
    return wanted(disk(tmp_path / "a.qcow2"), type="test", pool_dir=str(tmp_path))


def test_the_state_stays(test_host: VirtHost, asked: tuple[Deployment, list[Part]]) -> None:
    """In its pool, and a new deploy goes on with it."""
    before = everything(test_host)
    deploy(site_of(test_host), *asked)
    lines = undeploy(site_of(test_host), asked[0], purge=False)
    assert "volume svm-state.qcow2 stays in the pool kvmla: a new deploy goes on with it" in lines
    assert everything(test_host) - before == {"pool kvmla 1", "volume svm-state.qcow2"}
    made = deploy(site_of(test_host), *asked)
    assert not any("svm-state" in step for step in made.steps)


def test_purged_nothing_is_left(test_host: VirtHost, asked: tuple[Deployment, list[Part]]) -> None:
    """The host is as it was before."""
    before = everything(test_host)
    deploy(site_of(test_host), *asked)
    undeploy(site_of(test_host), asked[0], purge=True)
    assert everything(test_host) == before
    assert undeploy(site_of(test_host), asked[0], purge=True) == []


@pytest.mark.parametrize("is_done", [False, True], ids=["change", "answer lost"])
def test_whichever_change_libvirt_refuses_the_next_run_ends_it(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]], is_done: bool
) -> None:
    """One line says so; nothing is left then."""
    before, number, told = everything(test_host), 0, 0
    while True:
        number += 1
        calls = Calls(number, CHANGES, is_done)
        site = site_of(calls.host(test_host))
        deploy(site_of(test_host), *asked)
        said = complaint(lambda: undeploy(site, asked[0], purge=True))  # noqa: B023  # called at once
        if said:
            assert re.match(f"{SENTENCE}; `svm-host undeploy` again goes on with it$", said), said
            told += 1
            undeploy(site_of(test_host), asked[0], purge=True)
        assert everything(test_host) == before, (calls.failed, said)
        if not calls.failed:
            break
    assert told >= 12


def test_a_network_with_a_guest_in_it_stays(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """The guest's definition would not start without it."""
    deploy(site_of(test_host), *asked)
    test_host.connection.defineXML(GUEST)
    lines = undeploy(site_of(test_host), asked[0], purge=True)
    assert "network kvmla-protection stays: it is of guest" in lines
    assert "network kvmla-protection 1" in everything(test_host)


def test_a_machine_that_is_not_ours_is_not_removed(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """Whatever its name is."""
    with pytest.raises(DeployError, match="is taken by a machine that is no SVM"):
        undeploy(site_of(test_host), Deployment(name="test"), purge=True)
