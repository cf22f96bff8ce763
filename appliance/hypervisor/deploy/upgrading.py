"""svm-host upgrade: another system on the same state; if that does not answer, the one before comes back.

The domain says all the while what it was before, so that a run that was killed is ended by the next one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic

from appliance.hypervisor.deploy import site as sites
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.domain_xml import Placed
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.making import Making, define, remove_unused
from appliance.hypervisor.deploy.site import DeployError, Site
from appliance.hypervisor.virt import definitions
from appliance.hypervisor.virt.connection import REVIVE_SECONDS, VirtError


def upgrade(site: Site, before: Placed, wanted: Deployment, parts: list[Part]) -> tuple[list[str], float]:
    """Have it run as wanted; what the SVM said, and for how many seconds it did not answer.

    before: a deployment that is settled. Raises DeployError, BadDeployment, VirtError: then the one before
    runs, or is said not to.
    """
    making = Making(site, wanted, before)
    sites.check_host(site.host, wanted)
    try:
        making.pool()
        sites.check_room(site.host, wanted, parts)
        making.volumes(parts)
    except BaseException as error:
        making.undo.run()
        if isinstance(error, VirtError | DeployError):
            raise DeployError(f"{error}; {wanted.name} runs on as it was") from error
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"{wanted.name} runs on as it was") from error
        raise
    site.tell(f"machine {wanted.name} is shut down, and started anew")
    away = monotonic()
    unsettled = replace(before, deployment=wanted, healthy=False, before=before.deployment)
    with _else_brought_back(site, unsettled):
        definitions.stop(site.host, wanted.name, site.stop_seconds)
        define(site, unsettled)
        said = _started(site, unsettled)
    away = monotonic() - away
    _settled(site, unsettled)
    return said, away


def settle(site: Site, placed: Placed) -> Placed:
    """End an upgrade that a run which was killed left in its middle; what is deployed then.

    Raises DeployError where the one before had to come back.
    """
    if placed.before is None:
        return placed
    site.tell(f"an upgrade of {placed.deployment.name} was broken off: it is ended now")
    with _else_brought_back(site, placed):
        _started(site, placed)
    return _settled(site, placed)


def _started(site: Site, unsettled: Placed) -> list[str]:
    """Start the new one, and return when it answers, with what it says. Raises DeployError, VirtError."""
    definitions.start(site.host, unsettled.deployment.name)
    site.tell("waiting until the SVM answers")
    return site.reach(unsettled.deployment, False)


@contextmanager
def _else_brought_back(site: Site, unsettled: Placed) -> Iterator[None]:
    """Bring the one before back when something fails within, or it is interrupted. Raises DeployError."""
    as_before = f"{unsettled.deployment.name} runs again as it was before"
    try:
        yield
    except (DeployError, VirtError) as error:
        _bring_back(site, unsettled, error)
        raise DeployError(f"{error}; {as_before}") from error
    except KeyboardInterrupt as error:
        _bring_back(site, unsettled, error)
        raise KeyboardInterrupt(as_before) from error
    except BaseException as error:
        _bring_back(site, unsettled, error)
        raise


def _bring_back(site: Site, unsettled: Placed, why: BaseException) -> None:
    assert unsettled.before is not None
    name = unsettled.deployment.name
    site.tell(f"machine {name} is started as it was before")
    try:
        site.host.revive(REVIVE_SECONDS)
        definitions.stop(site.host, name, 0.0)
        old = replace(unsettled, deployment=unsettled.before, healthy=True, before=None)
        define(site, old)
        definitions.start(site.host, name)
        remove_unused(site, old.deployment)
        site.reach(old.deployment, False)
    except (DeployError, VirtError) as error:
        what = str(why) or "it was interrupted"
        raise DeployError(
            f"{what}; and as it was before it does not come back ({error}): run `svm-host upgrade` again"
        ) from error


def _settled(site: Site, unsettled: Placed) -> Placed:
    """Have it known that the new one answers, and nothing left of the one before. Raises DeployError."""
    name, settled = unsettled.deployment.name, replace(unsettled, healthy=True, before=None)
    try:
        site.host.revive(REVIVE_SECONDS)
        definitions.mark(site.host, name, settled.metadata())
    except VirtError as error:
        raise DeployError(
            f"{error}; {name} is upgraded and answers, which it does not know itself: run `svm-host upgrade` "
            "again, which ends it"
        ) from error
    try:
        remove_unused(site, settled.deployment)
    except VirtError as error:
        site.tell(
            f"warning: not all of what {name} was before is removed ({error}): the next upgrade does it"
        )
    return settled
