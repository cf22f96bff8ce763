"""libvirt's test host, of whose calls one fails: by its number among all, or those that change something."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, cast

import libvirt

from appliance.hypervisor.deploy.site import DeployError
from appliance.hypervisor.virt.connection import VirtError, VirtHost

CHANGES = frozenset(
    {
        *("networkDefineXML", "storagePoolDefineXML", "defineXML", "createXML"),
        *("build", "create", "destroy", "undefine", "undefineFlags", "delete", "shutdown"),
        *("setAutostart", "setMetadata"),
    }
)
# What libvirt tells without asking its daemon, and by what it is seen that there is one.
_NOT_COUNTED = frozenset({"name", "UUIDString", "getLibVersion"})
_OBJECTS = (
    *(libvirt.virConnect, libvirt.virDomain, libvirt.virNetwork),
    *(libvirt.virStoragePool, libvirt.virStorageVol, libvirt.virStream),
)


SAID = "the daemon\nsaid something odd"
SENTENCE = r"^[^\n]+ (cannot be|does not tell) [^\n]*: the daemon said something odd"  # ours, then that


def refused(code: int, said: str) -> libvirt.libvirtError:
    """What libvirt raises."""
    error = libvirt.libvirtError(said)
    error.err = (code, libvirt.VIR_FROM_RPC, said, libvirt.VIR_ERR_ERROR, None, None, None, -1, -1)
    return error


def complaint(work: Callable[[], object]) -> str:
    """What is said where it fails in a way that is expected, "" where it does not fail."""
    try:
        work()
    except (DeployError, VirtError) as error:
        return str(error)
    return ""


class Calls:
    """Counts the calls of a connection, and of all that it gives, and has one fail.

    failing: which one, of a number from 1. of: names of those that count, all where it is empty.
    is_done: whether it is done all the same, and its answer is lost.
    """

    def __init__(self, failing: int, of: Collection[str] = (), is_done: bool = False) -> None:
        self.failed = ""  # the name of the one that did
        self._failing, self._of, self._is_done = failing, of, is_done
        self._number = 0

    def host(self, of: VirtHost) -> VirtHost:
        """A host by which it is asked so."""
        return VirtHost(of.uri, cast(libvirt.virConnect, _Asked(of.connection, self)))

    def call(self, name: str, function: Any, *arguments: Any) -> Any:
        """Do it, if it is not the one."""
        real = [each.real if isinstance(each, _Asked) else each for each in arguments]
        self._number += name in self._of if self._of else name not in _NOT_COUNTED
        if self._number == self._failing and not self.failed:
            self.failed = name
            if self._is_done:
                function(*real)
            raise refused(libvirt.VIR_ERR_INTERNAL_ERROR, SAID)
        return self.given(function(*real))

    def given(self, found: Any) -> Any:
        """What a call gives, by which it is asked in the same way."""
        if isinstance(found, list):
            return [self.given(each) for each in found]
        return _Asked(found, self) if isinstance(found, _OBJECTS) else found


class _Asked:
    """An object of libvirt's."""

    def __init__(self, real: Any, calls: Calls) -> None:
        self.real, self._calls = real, calls

    def __getattr__(self, name: str) -> Any:
        return partial(self._calls.call, name, getattr(self.real, name))
