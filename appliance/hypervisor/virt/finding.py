"""The machine that somebody means: the one way for every command, since who names a machine may be a tenant.

What has the form of a UUID is one and never a name: else a tenant who calls his machine by the UUID of
another's would be taken for that.
"""

import re
from collections.abc import Sequence

import libvirt

from appliance.hypervisor.virt.connection import VirtError, VirtHost, told
from appliance.hypervisor.virt.domains import seen, vm_of
from appliance.hypervisor.vm import Vm

MOST_TOLD = 8  # of several that are meant, in a sentence

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")

Found = tuple[VirtHost, Vm]


class NoMachine(VirtError):
    """No host that was asked has it."""


def uuid_in(called: str) -> str:
    """The UUID that is given for a machine, as `Vm.uuid` has it; "" where it is a name."""
    if not _UUID.fullmatch(called):
        return ""
    digits = called.replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def find(hosts: Sequence[VirtHost], called: str) -> Found:
    """The machine of a UUID or a name, and its host.

    Raises NoMachine where there is none, VirtError where there are several: none of them is taken.
    """
    uuid = uuid_in(called)
    seen_there = [(host, vm_of(host, uuid) if uuid else _by_name(host, called)) for host in hosts]
    found = [(host, vm) for host, vm in seen_there if vm is not None]
    if len(found) == 1:
        return found[0]
    if found:
        raise VirtError(_several(called, found))
    raise NoMachine(_nobody(hosts, called, uuid))


def _by_name(host: VirtHost, name: str) -> Vm | None:
    """The one of a name, of which a host has one at the most."""
    with told(f"libvirt at {host.uri} does not tell of machine {name[:200]!r}"):
        try:
            return seen(host.connection.lookupByName(name))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise


def _several(called: str, found: Sequence[Found]) -> str:
    more = " and others" if found[MOST_TOLD:] else ""
    if len({vm.uuid for _, vm in found}) == 1:
        places = ", ".join(host.uri for host, _ in found[:MOST_TOLD])
        return f"several hosts have the machine {called[:200]!r} ({places}{more}): say which by --connect"
    places = ", ".join(f"{vm.uuid} on {host.uri}" for host, vm in found[:MOST_TOLD])
    return f"several machines are called {called[:200]!r} ({places}{more}): give the UUID of the one you mean"


def _nobody(hosts: Sequence[VirtHost], called: str, uuid: str) -> str:
    if not uuid:
        return f"no host has a machine {called[:200]!r}: see `svm-host vms`"
    for host in hosts:
        if (vm := _by_name(host, called)) is not None:
            return (
                f"no host has a machine with the UUID {uuid}; one on {host.uri} has it for a name, and is "
                f"meant by its own UUID alone: {vm.uuid}"
            )
    return f"no host has a machine with the UUID {uuid}: see `svm-host vms`"
