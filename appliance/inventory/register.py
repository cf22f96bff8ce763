"""The machines of the hosts, as host agents tell of them: in memory, and on the disk before that is answered.

One host agent stands for a host. Another is refused as long as the first reports, and takes the host when it
has not for `lease_seconds`. A report replaces what was told before; only what differs is written.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from appliance.changes import Changes
from appliance.domain.vm import MAX_HOSTS, MAX_VMS, HostAgent, HostVm
from appliance.state.vms import HostRecord, VmNotes, VmStore

_WRITTEN_SECONDS = 600.0  # so old may the time of the last report be on the disk
_DAY = 86400.0


class HostRefused(Exception):
    """What a host agent tells is not taken. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RegisterTerms:
    """lease_seconds: how long a host is an agent's after its last report. keep_days: how long it is known."""

    lease_seconds: float = 180.0
    keep_days: float = 30.0


@dataclass(frozen=True, slots=True)
class PlacedVm:
    """A machine on its host. reported_at: when the host was told of last, seconds since the epoch."""

    vm: HostVm
    host: str
    host_name: str
    reported_at: float

    @property
    def key(self) -> tuple[str, str]:
        """Host and UUID."""
        return self.host, self.vm.uuid


class VmRegister:
    """All hosts that are known. For one loop; what it is given for a time is seconds since the epoch."""

    def __init__(self, store: VmStore, terms: RegisterTerms) -> None:
        """Raises StateDamaged."""
        self.terms = terms
        self._store = store
        known = store.all()
        self._hosts = known.hosts
        self._vms = {host: known.vms.get(host, {}) for host in known.hosts}
        self._notes = known.notes
        self._written_at = {host: record.reported_at for host, record in known.hosts.items()}
        self._changing = asyncio.Lock()
        self._changes = Changes()

    async def report(self, agent: HostAgent, vms: Sequence[HostVm], now: float) -> None:
        """Take what an agent tells of all machines of its host. Raises HostRefused, StateError."""
        await self._changes.whole(self._report(agent, vms, now))

    async def _report(self, agent: HostAgent, vms: Sequence[HostVm], now: float) -> None:
        async with self._changing:
            self._check(agent, now)
            before, after = self._vms.get(agent.host, {}), {vm.uuid: vm for vm in vms}
            others = sum(map(len, self._vms.values())) - len(before)
            if others + len(after) > MAX_VMS:
                raise HostRefused(f"{MAX_VMS} machines of all hosts are known, which is all that may be")
            changed = [vm for uuid, vm in after.items() if before.get(uuid) != vm]
            gone = [uuid for uuid in before if uuid not in after]
            record, known = HostRecord(agent, now), self._hosts.get(agent.host)
            is_old = now - self._written_at.get(agent.host, 0.0) >= _WRITTEN_SECONDS
            if changed or gone or is_old or known is None or known.agent != agent:
                await asyncio.to_thread(self._store.write_host, record, changed, gone)
                self._written_at[agent.host] = now
            self._hosts[agent.host], self._vms[agent.host] = record, after

    def told_of(self, agent: HostAgent, uuid: str, now: float) -> PlacedVm:
        """The machine of which an agent tells something. Raises HostRefused."""
        self._check(agent, now)
        vm = self._vms.get(agent.host, {}).get(uuid)
        if vm is None:
            raise HostRefused(f"host {agent.host} has no machine {uuid} that was reported: report it first")
        return self._placed(agent.host, vm)

    def all(self) -> Iterator[PlacedVm]:
        """Every machine, by the name of its host and its own; each as it is when it is its turn."""
        for host in sorted(self._hosts, key=lambda host: (self._hosts[host].agent.name, host)):
            for vm in sorted(self._vms.get(host, {}).values(), key=lambda vm: (vm.name, vm.uuid)):
                if host in self._hosts:
                    yield self._placed(host, vm)

    def is_fresh(self, host: str, now: float) -> bool:
        """Whether a host was told of recently, so that what is known of it is so."""
        record = self._hosts.get(host)
        return record is not None and now - record.reported_at < self.terms.lease_seconds

    def notes(self, uuid: str) -> VmNotes:
        """What the SVM has noted of a machine."""
        return self._notes.get(uuid, VmNotes())

    async def note(self, notes: Iterable[tuple[str, VmNotes]]) -> None:
        """Note something of machines, by UUID. Raises StateError."""
        new = {uuid: note for uuid, note in notes if self.notes(uuid) != note}
        if not new:
            return
        async with self._changing:
            await asyncio.to_thread(
                self._store.write_notes,
                {uuid: note if note != VmNotes() else None for uuid, note in new.items()},
            )
            self._notes.update(new)

    async def scanned(self, uuid: str, at: float) -> None:
        """All of a machine was looked through; one that no host has is passed over. Raises StateError."""
        if any(uuid in vms for vms in self._vms.values()):
            await self.note([(uuid, replace(self.notes(uuid), scanned_at=at))])

    async def age(self, now: float) -> None:
        """Forget hosts of which nothing was told for long, and notes of machines that no host has."""
        async with self._changing:
            for host, record in list(self._hosts.items()):
                if now - record.reported_at >= self.terms.keep_days * _DAY:
                    await asyncio.to_thread(self._store.drop_host, host, list(self._vms[host]))
                    del self._hosts[host], self._vms[host]
            here = {uuid for vms in self._vms.values() for uuid in vms}
            left = [uuid for uuid in self._notes if uuid not in here]
            if left:
                await asyncio.to_thread(self._store.write_notes, dict.fromkeys(left))
                for uuid in left:
                    del self._notes[uuid]

    def hosts(self) -> list[str]:
        """The UUIDs of all."""
        return list(self._hosts)

    def _check(self, agent: HostAgent, now: float) -> None:
        """Raise HostRefused where a host is another agent's."""
        record = self._hosts.get(agent.host)
        if record is None:
            if len(self._hosts) >= MAX_HOSTS:
                raise HostRefused(f"{MAX_HOSTS} hosts are known, which is all that may be")
        elif not record.agent.is_same(agent) and self.is_fresh(agent.host, now):
            seconds = max(0, round(now - record.reported_at))
            raise HostRefused(
                f"{record.agent.author} at {record.agent.name or agent.host} stands for this host, and told "
                f"of it {seconds} s ago: stop one of the two host agents, or wait for "
                f"{self.terms.lease_seconds:g} s after the end of the other"
            )

    def _placed(self, host: str, vm: HostVm) -> PlacedVm:
        record = self._hosts[host]
        return PlacedVm(vm, host, record.agent.name, record.reported_at)
