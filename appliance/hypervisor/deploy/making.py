"""The steps of a deployment. Each makes what is not there, and says whether it made anything.

Whatever a step finds half made, by a run that was killed, it makes whole: a volume that no domain refers to
is written anew, since nobody can say whether its content is all there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from appliance.hypervisor.deploy import domain_xml, network_xml, storage_xml
from appliance.hypervisor.deploy.addresses import addresses_of
from appliance.hypervisor.deploy.deployment import Deployment
from appliance.hypervisor.deploy.domain_xml import Placed
from appliance.hypervisor.deploy.images import Part
from appliance.hypervisor.deploy.site import Site
from appliance.hypervisor.deploy.undo import Undo
from appliance.hypervisor.virt import definitions, networks, volumes
from appliance.hypervisor.virt.connection import REVIVE_SECONDS, VirtError

GIB = 2**30
_ADVICE = (
    ("already in use by interface", "the host has that address itself, give another --host-address"),
    (
        "File exists",
        "the host has such a bridge itself, name another by deploy.bridge, deploy.host_bridge",
    ),
)


class Making:
    """The steps, for one deployment on one site."""

    def __init__(self, site: Site, deployment: Deployment, before: Placed | None) -> None:
        """before: what is deployed, None for nothing, or for nothing that was whole."""
        self.undo = Undo(partial(site.host.revive, REVIVE_SECONDS))
        self.made: list[str] = []
        self._site = site
        self._host = site.host
        self.wanted = deployment
        self._known = frozenset() if before is None else frozenset(before.deployment.volumes)
        self._fresh = before is None or not before.healthy

    def networks(self) -> None:
        """Both of them, started."""
        wanted, addresses = self.wanted, addresses_of(self.wanted)
        self._network(wanted.network, self._define_guests_network)
        xml = network_xml.host_network(wanted, addresses)
        name = wanted.host_network
        subnets = [
            subnet for whose, subnet in networks.subnets(self._host, ()) if whose == f"the network {name}"
        ]
        if subnets and subnets != [addresses.host.network]:
            networks.remove(self._host, name)  # of a deployment that is no more, with another address
        self._network(name, lambda: networks.define(self._host, name, xml))

    def pool(self) -> None:
        """The storage pool, started."""
        name = self.wanted.pool
        state = volumes.pool_state(self._host, name)
        if self._fresh:
            self.undo.add(f"pool {name}", self._remove_empty_pool)
        if not state.up:
            self._begin(f"storage pool {name} in {self.wanted.pool_dir}")
            if not state.uuid:
                volumes.define_pool(self._host, name, storage_xml.pool(self.wanted))
            volumes.start_pool(self._host, name)

    def volumes(self, parts: list[Part]) -> None:
        """The system's and the seed's, with their content; the state's, if it is not there."""
        pool, there = self.wanted.pool, volumes.names(self._host, self.wanted.pool)
        for part in parts:
            missing = part.name not in there or part.name not in self._known
            if missing or self._fresh:
                self.undo.add(f"volume {part.name}", partial(volumes.remove, self._host, pool, part.name))
            if missing:
                self._volume(part)
        state = self.wanted.state
        if state not in there:
            self.undo.add(f"volume {state}", lambda: volumes.remove(self._host, pool, state))
            self._begin(f"volume {state}, which may grow to {self.wanted.state_gib} GiB")
            xml = storage_xml.volume(state, self.wanted.state_gib * GIB, "qcow2")
            volumes.make(self._host, pool, state, xml)

    def domain(self, placed: Placed, found: bool) -> None:
        """Its definition. found: whether it is there as it should be."""
        name = self.wanted.name
        if self._fresh:
            self.undo.add(f"machine {name}", lambda: definitions.forget(self._host, name))
        if found:
            return
        self._begin(f"machine {name}")
        define(self._site, placed)

    def start(self) -> bool:
        """Have it run; whether it did not."""
        name = self.wanted.name
        found = definitions.defined(self._host, name)
        if found is not None and found.running:
            return False
        self._begin(f"machine {name} is started")
        definitions.start(self._host, name)
        return True

    def _network(self, name: str, define_it: Callable[[], None]) -> None:
        if self._fresh:
            self.undo.add(f"network {name}", lambda: self._remove_network(name))
        if not networks.is_up(self._host, name):
            self._begin(f"network {name}")
            if not networks.uuid_of(self._host, name):
                define_it()
            with _with_advice():
                networks.start(self._host, name)

    def _define_guests_network(self) -> None:
        """With a firm table of hardware addresses, where the host's kernel can have one."""
        name = self.wanted.network
        networks.define(self._host, name, network_xml.guests_network(self.wanted))
        try:
            with _with_advice():
                networks.start(self._host, name)
        except VirtError as error:
            if "vlan_filtering" not in str(error):
                raise
            networks.define(self._host, name, network_xml.guests_network(self.wanted, firm=False))
            self._site.tell(
                f"warning: this host's kernel has no vlan_filtering: in {name} a guest may take over the "
                "SVM's hardware address"
            )

    def _volume(self, part: Part) -> None:
        pool = self.wanted.pool
        self._begin(f"volume {part.name}, {max(part.size // 2**20, 1):,} MiB")
        volumes.remove(self._host, pool, part.name)
        volumes.make(self._host, pool, part.name, storage_xml.volume(part.name, part.size, "raw"))
        with part.open() as content:
            volumes.fill(self._host, pool, part.name, content)

    def _remove_network(self, name: str) -> None:
        remove_network(self._site, name, self.wanted.name)

    def _remove_empty_pool(self) -> None:
        if not volumes.names(self._host, self.wanted.pool):
            volumes.remove_pool(self._host, self.wanted.pool)

    def _begin(self, what: str) -> None:
        self._site.tell(what)
        self.made.append(what)


@contextmanager
def _with_advice() -> Iterator[None]:
    """Say what to do where the host has itself, without libvirt, what a network is to have."""
    try:
        yield
    except VirtError as error:
        advice = next((say for words, say in _ADVICE if words in str(error)), "")
        if not advice:
            raise
        raise VirtError(f"{error}: {advice}", error.code) from error


def define(site: Site, placed: Placed) -> None:
    """Define the domain, anew where it is there: it counts when it is started next."""
    deployment = placed.deployment
    found = definitions.defined(site.host, deployment.name)
    paths = {
        name: volumes.path(site.host, deployment.pool, name)
        for name in (*deployment.volumes, deployment.state)
    }
    uuid = "" if found is None else found.uuid
    definitions.define(site.host, deployment.name, domain_xml.domain(placed, uuid, paths))


def remove_network(site: Site, name: str, svm: str) -> list[str]:
    """Remove one of ours, unless machines have a port in it: those, then."""
    if networks.uuid_of(site.host, name) != network_xml.own_uuid("network", name):
        return []
    users = networks.users(site.host, name, but=svm)
    if not users:
        networks.remove(site.host, name)
    return users


def remove_unused(site: Site, deployment: Deployment) -> list[str]:
    """Delete the volumes that earlier systems left; those."""
    found = [
        name
        for name in volumes.names(site.host, deployment.pool)
        if name.startswith(("svm-system-", "svm-kernel-", "svm-initrd-", "svm-seed-"))
        and name not in deployment.volumes
    ]
    for name in found:
        volumes.remove(site.host, deployment.pool, name)
    return found
