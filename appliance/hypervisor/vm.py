"""What the host knows of a virtual machine, by libvirt's word."""

from dataclasses import dataclass
from enum import StrEnum

# The namespace of what this product writes into a domain's or a network's metadata.
METADATA = "https://kvm-light-agent.invalid/xmlns/1"


class Power(StrEnum):
    """Whether its processor runs. PAUSED: it holds memory and does not run, for whatever reason."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Vm:
    """A domain of libvirt. uuid: lower case, with hyphens: its guest's identity is bound to it.

    persistent: libvirt knows it also when it is off.
    """

    uuid: str
    name: str
    power: Power
    persistent: bool = True
