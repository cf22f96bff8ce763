"""What host agents tell, and what is asked of machines: the port of rpc/hosts_admin.py, over its parts."""

from collections.abc import Iterator, Sequence

from appliance.control import Parts
from appliance.domain.event import EventKind
from appliance.domain.vm import HostAgent, HostVm
from appliance.inventory.register import HostRefused
from appliance.inventory.watch import VmView
from appliance.inventory_assembly import LEASES
from appliance.rpc.admin_calls import ControlRefused
from appliance.state.environment import StateError


class HostControl:
    """Implements HostControl of the service."""

    def __init__(self, parts: Parts) -> None:
        self._watch = parts.inventory.watch
        self._witness = parts.witness

    @property
    def report_seconds(self) -> float:
        """Within which a host is to be told of again."""
        return self._watch.register.terms.lease_seconds / LEASES

    async def report(self, agent: HostAgent, vms: Sequence[HostVm]) -> None:
        """Keep what is told of all machines of a host."""
        try:
            await self._watch.register.report(agent, vms, self._watch.clock())
        except (HostRefused, StateError) as error:
            raise ControlRefused(str(error)) from error

    async def told(self, agent: HostAgent, uuid: str, kind: EventKind, text: str) -> None:
        """Keep an event of a machine."""
        try:
            event = self._watch.told(agent, uuid, kind, text)
        except HostRefused as error:
            raise ControlRefused(str(error)) from error
        await self._witness.vm_told(event)

    def vms(self, tenant: str) -> Iterator[VmView]:
        """Every machine, of a tenant or of all."""
        return self._watch.views(tenant)
