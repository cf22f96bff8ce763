"""Where an SVM is deployed, and whether it can be: nothing is changed here."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.hypervisor.deploy.addresses import addresses_of, check_free
from appliance.hypervisor.deploy.deployment import BadDeployment, Deployment
from appliance.hypervisor.deploy.domain_xml import Placed
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.network_xml import own_uuid
from appliance.hypervisor.virt import definitions, networks, volumes
from appliance.hypervisor.virt.connection import VirtHost

_HOST_MIB = 256  # that a host cannot do without, at the very least
_SPARE_BYTES = 256 * 1024 * 1024  # in the pool, for the state to begin with


class DeployError(Exception):
    """It was not deployed; the message says why, what was taken back, and what to do."""


@dataclass(frozen=True, slots=True)
class Site:
    """A host, and what is around a deployment on it.

    tell: hears of each step before it is begun. reach: returns when the SVM answers, with what is worth
    saying of it, or raises DeployError; its second argument says whether it is new. stop_seconds: for an SVM
    to end what it has begun; what it acknowledged is safe without.
    """

    host: VirtHost
    tell: Callable[[str], None]
    reach: Callable[[Deployment, bool], list[str]]
    stop_seconds: float = 15.0


def standing(host: VirtHost, name: str) -> Placed | None:
    """The SVM of that name, as it is deployed; None where there is none. Raises DeployError, VirtError."""
    found = definitions.defined(host, name)
    if found is None:
        return None
    try:
        placed = Placed.read(found.metadata) if found.metadata else None
    except BadDeployment as error:
        raise DeployError(f"{name} cannot be understood ({error}): see `virsh dumpxml {name}`") from error
    if placed is None:
        raise DeployError(
            f"the name {name} is taken by a machine that is no SVM of ours: give another --name"
        )
    return placed


def check_host(host: VirtHost, deployment: Deployment) -> None:
    """Raise DeployError or BadDeployment where the host has no room for it, or its names are taken."""
    facts = definitions.facts(host)
    if deployment.type not in definitions.kinds(host):
        raise DeployError(
            f"{facts.name} runs no machines of type {deployment.type}: "
            + (
                "is virtualization on in its firmware, and the module kvm loaded? "
                if deployment.type == "kvm"
                else ""
            )
            + "--type says which"
        )
    if deployment.memory_mib + _HOST_MIB > facts.memory_mib:
        raise DeployError(
            f"--memory {deployment.memory_mib} is more than {facts.name} has: give less than its "
            f"{facts.memory_mib} MiB, of which it needs {_HOST_MIB} itself"
        )
    if deployment.vcpus > facts.processors:
        raise DeployError(
            f"--vcpus {deployment.vcpus} is more than {facts.name} has: give 1 to {facts.processors}"
        )
    _check_networks(host, deployment)
    _check_pool(host, deployment)
    _check_other(host, deployment)


def check_room(host: VirtHost, deployment: Deployment, parts: list[Part]) -> None:
    """Raise DeployError where the pool has no room for what goes into it. It is started."""
    free = volumes.pool_state(host, deployment.pool).free
    needed = sum(part.size for part in parts) + _SPARE_BYTES
    if needed > free:
        raise DeployError(
            f"the disk of {deployment.pool} ({deployment.pool_dir}) has {free // 2**20:,} MiB free, and "
            f"{needed // 2**20:,} are needed: make room, or name another place by deploy.pool_dir"
        )


def _check_networks(host: VirtHost, deployment: Deployment) -> None:
    ours = (deployment.network, deployment.host_network)
    for option, name, bridge in (
        ("--network", deployment.network, deployment.bridge),
        ("--host-network", deployment.host_network, deployment.host_bridge),
    ):
        if networks.uuid_of(host, name) not in ("", own_uuid("network", name)):
            raise DeployError(f"the network {name} is there and not ours: give another name by {option}")
        if (owner := networks.bridge_owner(host, bridge)) not in ("", name):
            raise DeployError(
                f"the bridge {bridge} is of the network {owner}: name another in the settings "
                "(deploy.bridge, deploy.host_bridge)"
            )
    check_free(addresses_of(deployment), networks.subnets(host, but=ours))


def _check_pool(host: VirtHost, deployment: Deployment) -> None:
    if volumes.pool_state(host, deployment.pool).uuid not in ("", own_uuid("pool", deployment.pool)):
        raise DeployError(
            f"the storage pool {deployment.pool} is there and not ours: name another in the settings "
            "(deploy.pool)"
        )


def _check_other(host: VirtHost, deployment: Deployment) -> None:
    """One pool and one network is one SVM's."""
    for name, metadata in definitions.marked(host):
        try:
            other = Placed.read(metadata)
        except BadDeployment:
            continue
        if other is None or name == deployment.name:
            continue
        for what in ("pool", "network", "host_network"):
            if getattr(other.deployment, what) == getattr(deployment, what):
                raise DeployError(
                    f"the {what.replace('_', ' ')} {getattr(deployment, what)} is of the SVM {name}: upgrade "
                    f"that one (--name {name}), or give this one names of its own"
                )
