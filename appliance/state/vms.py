"""Hosts and their virtual machines, as host agents told of them; on the disk before a call returns.

    vms  host                        -> JSON {name, author, instance, reported_at}
         host, a zero byte, machine  -> JSON {name, power, tenant, excluded, svm, isolated}
         a zero byte, machine        -> JSON {scanned_at, told}

Hosts and machines by their UUIDs. What the third says is the SVM's own, and counts on whatever host a machine
is. scanned_at: when all of it was looked through last, 0 for never. told: since when it was not protected, as
an event says; 0 for no such.
A state of before has no such table and has known no host: it gets an empty one. Every value ends with an
xxh3_64 of the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from appliance.domain.vm import HostAgent, HostVm, VmPower
from appliance.state.environment import StateEnvironment, damaged, packed, unpacked


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A host. reported_at: seconds since the epoch, some minutes old at the most while it is told of."""

    agent: HostAgent
    reported_at: float


@dataclass(frozen=True, slots=True)
class VmNotes:
    """What the SVM itself notes of a machine: see the head of the module."""

    scanned_at: float = 0.0
    told: float = 0.0


@dataclass(slots=True)
class Known:
    """All that is kept."""

    hosts: dict[str, HostRecord] = field(default_factory=dict)
    vms: dict[str, dict[str, HostVm]] = field(default_factory=dict)  # by host, then by UUID
    notes: dict[str, VmNotes] = field(default_factory=dict)


class VmStore:
    """The table, in the file that the stores of the state share. What writes is for a thread."""

    def __init__(self, environment: StateEnvironment) -> None:
        self._environment = environment
        self._vms_db = environment.table(b"vms")

    def all(self) -> Known:
        """Everything. Raises StateDamaged."""
        known = Known()
        with self._environment.reading() as txn:
            for key, value in txn.cursor(db=self._vms_db):
                self._read(bytes(key), unpacked(value, self._environment.path), known)
        return known

    def write_host(
        self, record: HostRecord, changed: Iterable[HostVm] = (), gone: Iterable[str] = ()
    ) -> None:
        """Keep a host, and what has changed of its machines, and not what is gone. Raises StateError."""
        host = record.agent.host
        fields = {
            "name": record.agent.name,
            "author": record.agent.author,
            "instance": record.agent.instance.hex(),
            "reported_at": record.reported_at,
        }
        with self._environment.changing, self._environment.writing() as txn:
            txn.put(host.encode(), packed(fields), db=self._vms_db)
            for vm in changed:
                txn.put(_key(host, vm.uuid), packed(_fields(vm)), db=self._vms_db)
            for uuid in gone:
                txn.delete(_key(host, uuid), db=self._vms_db)

    def drop_host(self, host: str, vms: Iterable[str]) -> None:
        """Forget a host and its machines. Raises StateError."""
        with self._environment.changing, self._environment.writing() as txn:
            txn.delete(host.encode(), db=self._vms_db)
            for uuid in vms:
                txn.delete(_key(host, uuid), db=self._vms_db)

    def write_notes(self, notes: Mapping[str, VmNotes | None]) -> None:
        """Keep what is noted of machines, by UUID; None forgets it. Raises StateError."""
        with self._environment.changing, self._environment.writing() as txn:
            for uuid, note in notes.items():
                if note is None:
                    txn.delete(_key("", uuid), db=self._vms_db)
                else:
                    txn.put(_key("", uuid), packed(asdict(note)), db=self._vms_db)

    def _read(self, key: bytes, fields: dict[str, Any], known: Known) -> None:
        host, between, uuid = key.decode().partition("\0")
        try:
            if not between:
                instance = bytes.fromhex(fields["instance"])
                agent = HostAgent(host, fields["name"], fields["author"], instance)
                known.hosts[host] = HostRecord(agent, fields["reported_at"])
            elif not host:
                known.notes[uuid] = VmNotes(**fields)
            else:
                power = VmPower(fields.pop("power"))
                known.vms.setdefault(host, {})[uuid] = HostVm(uuid, power=power, **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self._environment.path, f"a machine's record has no meaning: {error!r}") from error


def _key(host: str, uuid: str) -> bytes:
    return f"{host}\0{uuid}".encode()


def _fields(vm: HostVm) -> dict[str, Any]:
    fields = asdict(vm)
    del fields["uuid"]
    return fields
