"""svm-host undeploy: what was deployed is removed; the SVM's state stays, unless it is purged."""

from dataclasses import replace

from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.domain_xml import Placed
from appliance.hypervisor.deploy.making import remove_network, remove_unused
from appliance.hypervisor.deploy.network_xml import own_uuid
from appliance.hypervisor.deploy.site import Site, standing
from appliance.hypervisor.virt import definitions, volumes
from appliance.hypervisor.virt.connection import VirtError


def undeploy(site: Site, named: Deployment, purge: bool) -> list[str]:
    """Remove it; what was removed and what stays, for people. Raises DeployError, VirtError.

    named: by what names its parts go where the domain is gone, and so cannot say it. Broken off, it is
    ended by the next run.
    """
    placed = standing(site.host, named.name)
    try:
        return _removed(site, named, placed, purge)
    except VirtError as error:
        raise VirtError(f"{error}; `svm-host undeploy` again goes on with it", error.code) from error


def _removed(site: Site, named: Deployment, placed: Placed | None, purge: bool) -> list[str]:
    deployment = named if placed is None else placed.deployment
    lines = []
    if placed is not None:
        site.tell(f"machine {named.name} is shut down and removed")
        definitions.stop(site.host, named.name, site.stop_seconds)
        definitions.forget(site.host, named.name)
        lines.append(f"machine {named.name} is removed")
    lines += _networks(site, deployment)
    return lines + _storage(site, deployment, purge)


def _networks(site: Site, deployment: Deployment) -> list[str]:
    lines = []
    for name in (deployment.network, deployment.host_network):
        if users := remove_network(site, name, deployment.name):
            whose = ", ".join(users[:5]) + (" and others" if users[5:] else "")
            lines.append(f"network {name} stays: it is of {whose}")
    return lines


def _storage(site: Site, deployment: Deployment, purge: bool) -> list[str]:
    pool = deployment.pool
    if volumes.pool_state(site.host, pool).uuid != own_uuid("pool", pool):
        return []
    volumes.start_pool(site.host, pool)
    without = replace(deployment, system="", kernel="", initrd="", seed="")
    lines = [f"volume {name} is removed" for name in remove_unused(site, without)]
    there = volumes.names(site.host, pool)
    if purge and deployment.state in there:
        volumes.remove(site.host, pool, deployment.state)
        lines.append(f"volume {deployment.state} is removed, and with it all that the SVM knew")
    elif deployment.state in there:
        lines.append(f"volume {deployment.state} stays in the pool {pool}: a new deploy goes on with it")
    if not volumes.names(site.host, pool):
        volumes.remove_pool(site.host, pool)
        lines.append(f"storage pool {pool} is removed")
    return lines
