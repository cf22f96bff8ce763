"""Virtual machines of the hosts, as a host agent tells of them, and how each is protected."""

from dataclasses import dataclass
from enum import StrEnum

MAX_NAME_BYTES = 256
MAX_VMS_OF_HOST = 4096
MAX_VMS, MAX_HOSTS = 16_384, 256
INSTANCE_BYTES = 16


class VmPower(StrEnum):
    """Whether its processor runs. PAUSED: it holds memory and does not run."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"


class Protection(StrEnum):
    """How a machine is protected."""

    PROTECTED = "protected"
    SILENT = "silent"  # it has enrolled, and no daemon of it is attached
    NOT_ENROLLED = "not-enrolled"
    OFF = "off"
    EXCLUDED = "excluded"
    SVM = "svm"  # a security virtual machine itself

    @property
    def is_wanting(self) -> bool:
        """Whether it should be protected and is not."""
        return self in (Protection.SILENT, Protection.NOT_ENROLLED)


@dataclass(frozen=True, slots=True)
class HostVm:
    """A machine, by its host's word. uuid: lower case, with hyphens. tenant: "" for nobody's."""

    uuid: str
    name: str
    power: VmPower
    tenant: str = ""
    excluded: bool = False
    svm: bool = False
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class HostAgent:
    """Who tells of a host. host: its UUID. name: a label. author: by the certificate. instance: 16 bytes."""

    host: str
    name: str
    author: str
    instance: bytes

    def is_same(self, other: "HostAgent") -> bool:
        """Whether it is the same agent, whatever the host calls itself now."""
        return (self.author, self.instance) == (other.author, other.instance)


def protection_of(vm: HostVm, attached: bool, enrolled: bool) -> Protection:
    """How a machine is protected. attached: its daemon is, now. enrolled: a guest of its UUID has."""
    if vm.svm:
        return Protection.SVM
    if vm.excluded:
        return Protection.EXCLUDED
    if vm.power is VmPower.OFF:
        return Protection.OFF
    if attached:
        return Protection.PROTECTED
    return Protection.SILENT if enrolled else Protection.NOT_ENROLLED
