"""What the host knows of a virtual machine, by libvirt's word."""

from dataclasses import dataclass, field
from enum import StrEnum

# The namespace of what this product writes into a domain's or a network's metadata.
METADATA_URI = "https://kvm-light-agent.invalid/xmlns/1"
# The port of a deployed SVM that its host asks it by. No metadata gives one to a machine.
DEPLOY_PORT = "org.kvm_light_agent.deploy.0"


class Power(StrEnum):
    """Whether its processor runs. PAUSED: it holds memory and does not run, for whatever reason."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"

    @property
    def has_memory(self) -> bool:
        """Whether there is a QEMU of it."""
        return self is not Power.OFF


@dataclass(frozen=True, slots=True)
class Marks:
    """What the element `protection` in a domain's metadata says. tenant: "" for nothing.

    excluded: it is not to be protected; None where nothing is said. svm: it is a security virtual machine
    that `svm-host deploy` made, which metadata alone does not make of a machine.
    """

    tenant: str = ""
    excluded: bool | None = None
    svm: bool = False


@dataclass(frozen=True, slots=True)
class Vm:
    """A domain of libvirt. uuid: lower case, with hyphens: its guest's identity is bound to it.

    persistent: libvirt knows it also when it is off. run: a number for as long as it has memory, another when
    it was started anew; -1 while it is off.
    """

    uuid: str
    name: str
    power: Power
    persistent: bool = True
    marks: Marks = field(default_factory=Marks)
    run: int = -1
