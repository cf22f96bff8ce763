"""svm-host deploy: an SVM on a host that has none; on one that has it, what is missing, or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.hypervisor.deploy import site as sites
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.domain_xml import Placed
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.making import Making, remove_unused
from appliance.hypervisor.deploy.site import DeployError, Site
from appliance.hypervisor.deploy.upgrading import settle
from appliance.hypervisor.virt import definitions
from appliance.hypervisor.virt.connection import REVIVE_SECONDS, VirtError


@dataclass(frozen=True, slots=True)
class Made:
    """What a run made, "" for nothing; and what the SVM said."""

    steps: list[str]
    said: list[str]


def deploy(site: Site, wanted: Deployment, parts: list[Part], keep: bool = False) -> Made:
    """Deploy it. Raises DeployError, BadDeployment, VirtError: then what was made is taken back.

    parts: what goes into its volumes. keep: leave what was made for people to look at.
    """
    before = sites.standing(site.host, wanted.name)
    if before is not None and before.before is not None:
        before = settle(site, before)
    if before is not None and before.healthy and before.deployment != wanted:
        differences = "; ".join(before.deployment.differences(wanted))
        raise DeployError(
            f"{wanted.name} is deployed, and this asks for {differences}: `svm-host upgrade` changes its "
            "image, memory, processors and settings; for the rest undeploy it first, which keeps its state"
        )
    sites.check_host(site.host, wanted)
    making = Making(site, wanted, before)
    with taken_back(making, keep):
        said = _make(site, making, before, parts)
    return Made(making.made, said)


@contextmanager
def taken_back(making: Making, keep: bool) -> Iterator[None]:
    """Take back what was made when something fails within, or it is interrupted, and say so."""
    try:
        yield
    except (DeployError, VirtError) as error:
        raise DeployError(f"{error}; {_left(making, keep)}") from error
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_left(making, keep)) from error
    except BaseException:
        _left(making, keep)
        raise


def _left(making: Making, keep: bool) -> str:
    """Take it back, unless it is to be kept; what is left, for people."""
    if keep:
        return "what was made is kept, `svm-host undeploy` removes it"
    problems = making.undo.run()
    if problems:
        left = "; ".join(problems)
        return f"not everything could be taken back ({left}): run `svm-host undeploy` after that"
    return "what was made so far is taken back"


def _make(site: Site, making: Making, before: Placed | None, parts: list[Part]) -> list[str]:
    wanted = making.wanted
    new = before is None or not before.healthy
    found = before is not None and before.deployment == wanted
    if before is not None and not found:
        definitions.forget(site.host, wanted.name)  # of a run that did not end, and was asked otherwise
    making.networks()
    making.pool()
    if new:
        sites.check_room(site.host, wanted, parts)
    making.volumes(parts)
    placed = Placed(wanted, definitions.facts(site.host).name, healthy=False)
    making.domain(placed, found)
    making.start()
    site.tell("waiting until the SVM answers")
    said = site.reach(wanted, new)
    site.host.revive(REVIVE_SECONDS)  # it may have been started anew meanwhile
    if new:
        definitions.mark(site.host, wanted.name, Placed(wanted, placed.host, healthy=True).metadata())
        remove_unused(site, wanted)
    making.undo.keep()
    return said
