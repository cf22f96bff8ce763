"""Guests and the virtual machines that they are in, joined by UUID, as `svm guests list` shows them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lightagent.v1 import exposure_pb2, hosts_pb2

from appliance.cli.times import iso, shown
from appliance.domain.vm import Protection

HEAD = (
    "guest",
    "protection",
    "machine",
    "attached",
    "calls itself",
    "files",
    "tenant",
    "certificate",
    "until",
    "first seen",
    "last seen",
)

_WORDS: dict[str, str] = {
    Protection.SILENT: "stub silent",
    Protection.NOT_ENROLLED: "not enrolled",
    Protection.OFF: "powered off",
    Protection.SVM: "SVM itself",
}
_POWER = {
    hosts_pb2.VM_POWER_RUNNING: "running",
    hosts_pb2.VM_POWER_PAUSED: "paused",
    hosts_pb2.VM_POWER_OFF: "off",
}

Guest = exposure_pb2.KnownGuest
Machine = hosts_pb2.KnownVm


@dataclass(frozen=True, slots=True)
class Entry:
    """A guest, the machine that it is in, or both. At least one is there."""

    guest: Guest | None
    machine: Machine | None

    @property
    def is_unprotected(self) -> bool:
        """Whether it is a machine that should be protected and is not."""
        return self.machine is not None and self.machine.protection in ("silent", "not-enrolled")

    def row(self) -> Sequence[object]:
        """Return the line of a table with HEAD."""
        guest, machine = self.guest or Guest(), self.machine
        return (
            guest.guest or (machine.vm.uuid if machine else ""),
            _protection(machine) if machine else "-",
            f"{machine.vm.name} on {machine.host_name or machine.host}" if machine else "-",
            "yes" if guest.attached else "no",
            guest.host_name or "-",
            guest.files,
            guest.tenant or (machine.tenant if machine else "") or "-",
            guest.certificate or "-",
            _shown(guest, "certificate_ends"),
            _shown(guest, "first_seen"),
            _shown(guest, "last_seen"),
        )

    def fields(self) -> dict[str, Any]:
        """Return what --json has of it."""
        guest, machine = self.guest or Guest(), self.machine
        return {
            "guest": guest.guest or (machine.vm.uuid if machine else None),
            "attached": guest.attached,
            "host_name": guest.host_name or None,
            "files": guest.files,
            "tenant": guest.tenant or (machine.tenant if machine else "") or None,
            "certificate": guest.certificate or None,
            "certificate_ends": _iso(guest, "certificate_ends"),
            "first": _iso(guest, "first_seen"),
            "last": _iso(guest, "last_seen"),
            "machine": None if machine is None else _machine_fields(machine),
        }


def joined(guests: Sequence[Guest], machines: Sequence[Machine]) -> Iterator[Entry]:
    """Yield every guest with its machine, one for each host that has it; then machines without a guest."""
    of_uuid: defaultdict[str, list[Machine]] = defaultdict(list)
    for machine in machines:
        of_uuid[machine.vm.uuid].append(machine)
    for guest in guests:
        found: Sequence[Machine | None] = of_uuid.pop(guest.guest, [])
        for machine_or_none in found or (None,):
            yield Entry(guest, machine_or_none)
    for left in of_uuid.values():
        for machine in left:
            yield Entry(None, machine)


def _protection(machine: Machine) -> str:
    """How it is protected, for people."""
    word = _WORDS.get(machine.protection, machine.protection)
    if machine.protection == Protection.OFF:
        scanned = machine.last_scanned.seconds
        word = f"{word}, scanned {shown(scanned)}" if scanned else f"{word}, never scanned"
    return f"{word}, isolated" if machine.vm.isolated else word


def _machine_fields(machine: Machine) -> dict[str, Any]:
    return {
        "uuid": machine.vm.uuid,
        "name": machine.vm.name,
        "power": _POWER.get(machine.vm.power),
        "protection": machine.protection,
        "unprotected_since": _iso(machine, "unprotected_since"),
        "last_scanned": _iso(machine, "last_scanned"),
        "isolated": machine.vm.isolated,
        "host": machine.host,
        "host_name": machine.host_name or None,
        "reported": _iso(machine, "reported"),
    }


def _iso(message: Guest | Machine, field: Any) -> str | None:
    return iso(getattr(message, field).seconds) if message.HasField(field) else None


def _shown(message: Guest, field: Any) -> str:
    return shown(getattr(message, field).seconds) if message.HasField(field) else "-"
