"""An upgrade: the new one answers, or the old one comes back; killed in its middle, it is ended."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.deploy.deploying import deploy
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.domain_xml import Placed
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.making import Making, define
from appliance.hypervisor.deploy.site import DeployError, standing
from appliance.hypervisor.deploy.upgrading import settle, upgrade
from appliance.hypervisor.virt import definitions
from appliance.hypervisor.virt.connection import VirtHost
from tests.support.deployments import disk, everything, site_of, wanted
from tests.support.failing_libvirt import CHANGES, SENTENCE, Calls

Reach = Callable[[Deployment, bool], list[str]]


@pytest.fixture
def deployed(test_host: VirtHost, tmp_path: Path) -> Placed:
    """An SVM that answers."""
    deploy(site_of(test_host), *wanted(disk(tmp_path / "1.qcow2", b"1"), type="test", pool_dir=str(tmp_path)))
    return now(test_host)


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Deployment, list[Part]]:
    """The same of another image."""
    return wanted(disk(tmp_path / "2.qcow2", b"2"), type="test", pool_dir=str(tmp_path))


def now(host: VirtHost) -> Placed:
    """What is deployed."""
    placed = standing(host, "kvmla-svm")
    assert placed is not None
    return placed


def answers_as(system: str) -> Reach:
    """Only that system answers."""

    def reach(deployment: Deployment, _new: bool) -> list[str]:
        if deployment.system != system:
            raise DeployError("it did not become healthy")
        return []

    return reach


def test_the_new_one_runs_on_the_same_state(
    test_host: VirtHost, deployed: Placed, asked: tuple[Deployment, list[Part]]
) -> None:
    """It is the same machine, and what the old one had is removed."""
    uuid = test_host.connection.lookupByName("kvmla-svm").UUIDString()
    _, away = upgrade(site_of(test_host), deployed, *asked)
    assert now(test_host) == replace(deployed, deployment=asked[0])
    assert test_host.connection.lookupByName("kvmla-svm").UUIDString() == uuid
    there = everything(test_host)
    assert f"volume {deployed.deployment.system}" not in there
    assert {f"volume {asked[0].system}", f"volume {asked[0].state}", "machine kvmla-svm 1"} <= there
    assert away >= 0


def test_one_that_does_not_answer_makes_way_for_the_old_one(
    test_host: VirtHost, deployed: Placed, asked: tuple[Deployment, list[Part]]
) -> None:
    """The host is as it was."""
    before = everything(test_host)
    site = site_of(test_host, reach=answers_as(deployed.deployment.system))
    with pytest.raises(DeployError, match="did not become healthy; kvmla-svm runs again as it was before"):
        upgrade(site, deployed, *asked)
    assert now(test_host) == deployed
    assert everything(test_host) == before


@pytest.mark.parametrize("is_done", [False, True], ids=["change", "answer lost"])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "kvmla-svm runs on as it was"),
        *((each, "kvmla-svm runs again as it was before") for each in range(2, 6)),
    ],
)
def test_whichever_change_libvirt_refuses_the_old_one_runs(
    test_host: VirtHost,
    deployed: Placed,
    asked: tuple[Deployment, list[Part]],
    number: int,
    said: str,
    is_done: bool,
) -> None:
    """Until the new one has answered; one line says so, and the host is as it was."""
    before, calls = everything(test_host), Calls(number, CHANGES, is_done)
    with pytest.raises(DeployError, match=f"{SENTENCE}; {said}$"):
        upgrade(site_of(calls.host(test_host)), deployed, *asked)
    assert now(test_host) == deployed
    assert everything(test_host) == before


def test_one_that_answers_and_cannot_be_marked_so_is_told(
    test_host: VirtHost, deployed: Placed, asked: tuple[Deployment, list[Part]]
) -> None:
    """And what ends it, which the next run does."""
    site = site_of(Calls(6, CHANGES).host(test_host))
    with pytest.raises(DeployError, match=f"{SENTENCE}; kvmla-svm is upgraded and answers, .* again, which"):
        upgrade(site, deployed, *asked)
    assert settle(site_of(test_host), now(test_host)) == replace(deployed, deployment=asked[0])
    assert f"volume {deployed.deployment.system}" not in everything(test_host)


def test_one_that_answers_stays_though_the_old_one_cannot_be_removed(
    test_host: VirtHost, deployed: Placed, asked: tuple[Deployment, list[Part]]
) -> None:
    """That is told, and it is no failure."""
    told: list[str] = []
    upgrade(site_of(Calls(7, CHANGES).host(test_host), told.append), deployed, *asked)
    assert now(test_host) == replace(deployed, deployment=asked[0])
    assert f"volume {deployed.deployment.system}" in everything(test_host)
    assert told[-1].startswith("warning: not all of what kvmla-svm was before is removed (the volume svm-")


@pytest.mark.parametrize("what", ["stop", "start"])
def test_interrupted_in_its_middle_the_old_one_runs(
    test_host: VirtHost,
    deployed: Placed,
    asked: tuple[Deployment, list[Part]],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    """Whether the machine is being shut down or started anew; and that is said."""
    before, real = everything(test_host), getattr(definitions, what)
    steps = iter((KeyboardInterrupt,))

    def interrupted(*words: object) -> object:
        done = real(*words)
        for each in steps:
            raise each
        return done

    monkeypatch.setattr(definitions, what, interrupted)
    with pytest.raises(KeyboardInterrupt, match="kvmla-svm runs again as it was before"):
        upgrade(site_of(test_host), deployed, *asked)
    assert now(test_host) == deployed
    assert everything(test_host) == before


def test_when_neither_answers_that_is_told(
    test_host: VirtHost, deployed: Placed, asked: tuple[Deployment, list[Part]]
) -> None:
    """The old one is left running."""
    with pytest.raises(DeployError, match="and as it was before it does not come back"):
        upgrade(site_of(test_host, reach=answers_as("none")), deployed, *asked)
    assert "machine kvmla-svm 1" in everything(test_host)
    assert now(test_host).deployment == deployed.deployment


def test_one_for_which_there_is_no_room_stops_nothing(
    test_host: VirtHost, deployed: Placed, asked: tuple[Deployment, list[Part]]
) -> None:
    """The old one serves all the while."""
    vast = [replace(part, size=2**50) for part in asked[1]]
    with pytest.raises(DeployError, match=r"make room.*; kvmla-svm runs on as it was"):
        upgrade(site_of(test_host), deployed, asked[0], vast)
    assert now(test_host) == deployed


@pytest.mark.parametrize("new_answers", [True, False])
def test_one_that_was_killed_is_ended_by_the_next_run(
    test_host: VirtHost, deployed: Placed, asked: tuple[Deployment, list[Part]], new_answers: bool
) -> None:
    """Between the new definition and the answer: forward where the new one answers, else back."""
    site = site_of(test_host, reach=answers_as((asked[0] if new_answers else deployed.deployment).system))
    Making(site, asked[0], deployed).volumes(asked[1])
    unsettled = replace(deployed, deployment=asked[0], healthy=False, before=deployed.deployment)
    test_host.connection.lookupByName("kvmla-svm").destroy()
    define(site, unsettled)
    assert now(test_host) == unsettled
    if new_answers:
        assert settle(site, unsettled) == now(test_host) == replace(deployed, deployment=asked[0])
    else:
        with pytest.raises(DeployError, match="runs again as it was before"):
            settle(site, unsettled)
        assert now(test_host) == deployed
    assert "machine kvmla-svm 1" in everything(test_host)


def test_a_deploy_ends_it_as_well(
    test_host: VirtHost, deployed: Placed, asked: tuple[Deployment, list[Part]]
) -> None:
    """Whichever command comes next."""
    site = site_of(test_host)
    Making(site, asked[0], deployed).volumes(asked[1])
    define(site, replace(deployed, deployment=asked[0], healthy=False, before=deployed.deployment))
    assert deploy(site, *asked).steps == []
    assert now(test_host) == replace(deployed, deployment=asked[0])
