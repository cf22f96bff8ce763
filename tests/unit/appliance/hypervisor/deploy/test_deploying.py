"""A deployment, whole or taken back, on libvirt's own test host."""

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.hypervisor.deploy.deploying import deploy
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.site import DeployError, standing
from appliance.hypervisor.virt.connection import VirtError, VirtHost
from tests.support.deployments import disk, everything, site_of, wanted
from tests.support.failing_libvirt import CHANGES, SENTENCE, Calls, complaint

STEPS = 9  # of a deployment on a host that has nothing


class Broken(Exception):
    """What no step expects."""


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Deployment, list[Part]]:
    """A deployment for that host."""
    return wanted(disk(tmp_path / "a.qcow2"), type="test", pool_dir=str(tmp_path))


def at_step(number: int, error: BaseException) -> Callable[[str], None]:
    """What raises when it is told of the step of that number, which is then not made."""
    told: list[str] = []

    def tell(what: str) -> None:
        told.append(what)
        if len(told) == number:
            raise error

    return tell


def test_all_of_it_is_made_and_told(test_host: VirtHost, asked: tuple[Deployment, list[Part]]) -> None:
    """Networks, pool, volumes, a machine that runs and is known to have answered."""
    before = everything(test_host)
    told: list[str] = []
    made = deploy(
        site_of(test_host, told.append, lambda _deployment, _new: ["engine x is not ready"]), *asked
    )
    assert everything(test_host) - before == {
        *("network kvmla-protection 1", "network kvmla-host 1", "pool kvmla 1", "machine kvmla-svm 1"),
        *(f"volume {name}" for name in (*asked[0].volumes, asked[0].state)),
    }
    assert (len(told), made.said) == (STEPS, ["engine x is not ready"])
    assert told[: len(made.steps)] == made.steps
    placed = standing(test_host, "kvmla-svm")
    assert placed is not None
    assert (placed.healthy, placed.deployment) == (True, asked[0])
    assert test_host.connection.lookupByName("kvmla-svm").autostart()


def test_again_it_changes_nothing(test_host: VirtHost, asked: tuple[Deployment, list[Part]]) -> None:
    """And says so; the SVM is not new any more."""
    news: list[bool] = []

    def reach(_deployment: Deployment, new: bool) -> list[str]:
        news.append(new)
        return []

    deploy(site_of(test_host, reach=reach), *asked)
    before = everything(test_host)
    assert deploy(site_of(test_host, reach=reach), *asked).steps == []
    assert everything(test_host) == before
    assert news == [True, False]


def test_what_is_missing_is_made(test_host: VirtHost, asked: tuple[Deployment, list[Part]]) -> None:
    """Somebody stopped the machine, and a network."""
    deploy(site_of(test_host), *asked)
    before = everything(test_host)
    test_host.connection.lookupByName("kvmla-svm").destroy()
    test_host.connection.networkLookupByName("kvmla-host").destroy()
    assert deploy(site_of(test_host), *asked).steps == ["network kvmla-host", "machine kvmla-svm is started"]
    assert everything(test_host) == before


@pytest.mark.parametrize("error", [VirtError("it failed"), DeployError("it failed")])
@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_whichever_step_fails_all_is_taken_back(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]], number: int, error: Exception
) -> None:
    """The host is as it was, and the sentence says so; a run after that does it."""
    before = everything(test_host)
    with pytest.raises(DeployError, match="it failed; what was made so far is taken back"):
        deploy(site_of(test_host, at_step(number, error)), *asked)
    assert everything(test_host) == before
    deploy(site_of(test_host), *asked)


CALLS = 80  # of libvirt's daemon in a deployment, at the least; of them 18 change something


@pytest.mark.parametrize(
    ("of", "is_done", "least"),
    [((), False, CALLS), (CHANGES, False, 18), (CHANGES, True, 18)],
    ids=["any", "change", "answer lost"],
)
def test_whichever_call_of_libvirt_fails_all_is_taken_back(
    test_host: VirtHost,
    asked: tuple[Deployment, list[Part]],
    of: Collection[str],
    is_done: bool,
    least: int,
) -> None:
    """Each ends in one line that says what and why, and the host is as it was."""
    before, number = everything(test_host), 0
    while True:
        number += 1
        calls = Calls(number, of, is_done)
        site = site_of(calls.host(test_host))
        said = complaint(lambda: deploy(site, *asked))  # noqa: B023  # called at once
        if not calls.failed:
            break
        assert re.match(SENTENCE, said), (calls.failed, said)
        assert everything(test_host) == before, (calls.failed, said)
    assert (said, number > least) == ("", True)


def test_what_nobody_expected_is_taken_back_too(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """Ctrl-C, or a fault of ours."""
    before = everything(test_host)
    for error, said in ((KeyboardInterrupt(), "what was made so far is taken back"), (Broken(), "^$")):
        with pytest.raises(type(error), match=said):
            deploy(site_of(test_host, at_step(STEPS, error)), *asked)
        assert everything(test_host) == before


def test_an_svm_that_never_answers_may_be_kept(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """For people to look at; it is not taken for one that has answered, and another run goes on with it."""

    def reach(_deployment: Deployment, _new: bool) -> list[str]:
        raise DeployError("it did not become healthy")

    with pytest.raises(DeployError, match="what was made is kept, `svm-host undeploy` removes it"):
        deploy(site_of(test_host, reach=reach), *asked, keep=True)
    assert "machine kvmla-svm 1" in everything(test_host)
    before = everything(test_host)
    with pytest.raises(DeployError, match="taken back"):
        deploy(site_of(test_host, reach=reach), *asked)
    assert everything(test_host) == before - {
        *("network kvmla-protection 1", "network kvmla-host 1", "machine kvmla-svm 1"),
        *(f"volume {name}" for name in asked[0].volumes),
    }


def test_state_that_was_there_survives_a_failure(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """What an SVM knew is not taken back with what was made."""
    with pytest.raises(DeployError):
        deploy(site_of(test_host, at_step(STEPS, DeployError("it failed"))), *asked, keep=True)
    with pytest.raises(DeployError):
        deploy(site_of(test_host, at_step(1, DeployError("it failed"))), *asked)
    assert f"volume {asked[0].state}" in everything(test_host)


def test_one_that_is_deployed_otherwise_is_not_changed(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """The sentence names what differs, and what changes it."""
    deploy(site_of(test_host), *asked)
    with pytest.raises(DeployError, match="asks for --memory 1024, not 512: `svm-host upgrade` changes"):
        deploy(site_of(test_host), replace(asked[0], memory_mib=1024), asked[1])


def test_a_run_that_was_killed_and_asked_otherwise(
    test_host: VirtHost, asked: tuple[Deployment, list[Part]]
) -> None:
    """Nobody has used that SVM: it is as the second one asks."""
    with pytest.raises(DeployError):
        deploy(site_of(test_host, at_step(STEPS, DeployError("it failed"))), *asked, keep=True)
    other = replace(asked[0], memory_mib=1024)
    deploy(site_of(test_host), other, asked[1])
    placed = standing(test_host, "kvmla-svm")
    assert placed is not None
    assert placed.deployment == other
