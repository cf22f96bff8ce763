"""What a deployed SVM is: everything that its domain is made from, and nothing else.

It is written into the domain's metadata, so that a later run knows what there is without guessing at XML.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

MIN_MEMORY_MIB, MAX_MEMORY_MIB = 512, 1024 * 1024
MAX_VCPUS = 256
MIN_STATE_GIB, MAX_STATE_GIB = 1, 64 * 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_BRIDGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_WORDS = {
    "memory_mib": "--memory",
    "state_gib": "--state-size",
    "system": "--image or --root",
    "seed": "seed",
}


class BadDeployment(ValueError):
    """It cannot be deployed like that; the message says what is wrong and what to give."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """An SVM. type: "kvm" or "qemu". network, host_network: libvirt's names; bridge, host_bridge: theirs.

    address: the SVM's on the network of the guests, with its prefix; host_address: the host's own on the one
    that it shares with the SVM alone. reserve: whether memory and processor are kept for it.
    system, kernel, initrd, seed: volumes of the pool; kernel and initrd are "" where the system volume boots
    by itself; append: words more for that kernel.
    """

    name: str = "kvmla-svm"
    type: str = "kvm"
    memory_mib: int = 4096
    vcpus: int = 2
    reserve: bool = True
    network: str = "kvmla-protection"
    bridge: str = "kvmla0"
    address: str = "10.113.0.2/24"
    host_network: str = "kvmla-host"
    host_bridge: str = "kvmla1"
    host_address: str = "10.113.1.1/24"
    pool: str = "kvmla"
    pool_dir: str = "/var/lib/kvm-light-agent/images"
    state_gib: int = 64
    append: str = ""
    system: str = ""
    kernel: str = ""
    initrd: str = ""
    seed: str = ""

    @property
    def state(self) -> str:
        """The volume of what an SVM has to keep: verdicts, events, its authority."""
        return "svm-state.qcow2"

    @property
    def volumes(self) -> tuple[str, ...]:
        """Those that another deployment may replace: all but the state."""
        return tuple(filter(None, (self.system, self.kernel, self.initrd, self.seed)))

    def attributes(self) -> dict[str, str]:
        """As they stand in the metadata."""
        return {name.replace("_", "-"): _written(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, attributes: Mapping[str, str]) -> Self:
        """From the metadata; what an older version did not write is as it was. Raises BadDeployment."""
        found: dict[str, Any] = {}
        for field in fields(cls):
            text = attributes.get(field.name.replace("_", "-"))
            if text is not None:
                found[field.name] = _value(field.type, text)
        return replace(cls(), **found)

    def differences(self, other: "Deployment") -> list[str]:
        """What another one has otherwise, for people: "--memory 4096, not 2048"."""
        mine, others = asdict(self), asdict(other)
        return [
            f"{_WORDS.get(name, '--' + name.replace('_', '-'))} {_written(others[name]) or 'none'}, "
            f"not {_written(value) or 'none'}"
            for name, value in mine.items()
            if others[name] != value
        ]

    def check(self) -> None:
        """Raise BadDeployment for what no host could make."""
        for what, name, form, rule in (
            ("--name", self.name, _NAME, "50 letters, digits, dots, hyphens and underscores"),
            ("--network", self.network, _NAME, "50 letters, digits, dots, hyphens and underscores"),
            ("--host-network", self.host_network, _NAME, "50 letters, digits, dots, hyphens and underscores"),
            ("deploy.pool", self.pool, _NAME, "50 letters, digits, dots, hyphens and underscores"),
            ("deploy.bridge", self.bridge, _BRIDGE, "15 letters, digits, dots, hyphens and underscores"),
            (
                "deploy.host_bridge",
                self.host_bridge,
                _BRIDGE,
                "15 letters, digits, dots, hyphens and underscores",
            ),
        ):
            if not form.fullmatch(name):
                raise BadDeployment(f"{what} {name[:80]!r} is no name for that: give {rule}")
        _check_range("--memory", self.memory_mib, MIN_MEMORY_MIB, MAX_MEMORY_MIB, "MiB")
        _check_range("--vcpus", self.vcpus, 1, MAX_VCPUS, "processors")
        _check_range("--state-size", self.state_gib, MIN_STATE_GIB, MAX_STATE_GIB, "GiB")
        if self.network == self.host_network or self.bridge == self.host_bridge:
            raise BadDeployment(
                "the network of the guests and that of the host are one: give two names and two bridges"
            )
        if any(not letter.isprintable() for letter in self.append) or len(self.append) > 1000:
            raise BadDeployment("--append is no line of at most 1,000 letters: give words for the kernel")


def _check_range(what: str, value: int, low: int, high: int, unit: str) -> None:
    if not low <= value <= high:
        raise BadDeployment(f"{what} is {value}: give {low:,} to {high:,} {unit}")


def _written(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _value(kind: object, text: str) -> object:
    try:
        return int(text) if kind is int else text == "yes" if kind is bool else text
    except ValueError as error:
        raise BadDeployment(f"the domain's metadata says {text[:80]!r} where a number should be") from error
