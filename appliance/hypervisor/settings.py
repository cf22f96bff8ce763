"""The settings of `svm-host`: one TOML file. svm-host.example.toml documents each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from appliance.config_file import read_file
from appliance.config_forms import AbsolutePath, AddressOrNothing, Choice, Range
from appliance.config_reading import Problem

CONFIG_VARIABLE = "KVMLA_HOST_CONFIG"


@dataclass(frozen=True, slots=True)
class LibvirtSettings:
    """uri: as libvirt writes it, of each host that this agent stands for."""

    uri: tuple[str, ...] = ("qemu:///system",)


@dataclass(frozen=True, slots=True)
class SvmSettings:
    """Where the SVM's administrators' door is, "" for none; and the host agent's certificate for it."""

    server: Annotated[str, AddressOrNothing()] = ""
    identity: Annotated[Path, AbsolutePath()] = Path("/etc/kvm-light-agent/svm-host")


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """What `svm-host deploy` makes an SVM from, where its arguments do not say otherwise.

    address, host_address: with their prefix. administrator: where the first administrator's certificate goes.
    """

    name: str = "kvmla-svm"
    type: Annotated[str, Choice("kvm", "qemu")] = "kvm"
    memory_mib: Annotated[int, Range(512, 1048576)] = 4096
    vcpus: Annotated[int, Range(1, 256)] = 2
    reserve: bool = True
    network: str = "kvmla-protection"
    bridge: str = "kvmla0"
    address: str = "10.113.0.2/24"
    host_network: str = "kvmla-host"
    host_bridge: str = "kvmla1"
    host_address: str = "10.113.1.1/24"
    pool: str = "kvmla"
    pool_dir: Annotated[Path, AbsolutePath()] = Path("/var/lib/kvm-light-agent/images")
    state_gib: Annotated[int, Range(1, 65536)] = 64
    wait_seconds: Annotated[float, Range(1, 3600)] = 300.0
    administrator: Annotated[Path, AbsolutePath()] = Path("/etc/kvm-light-agent/administrator")


@dataclass(frozen=True, slots=True)
class HostSettings:
    """All of them."""

    state_dir: Annotated[Path, AbsolutePath()] = Path("/var/lib/kvm-light-agent/svm-host")
    libvirt: LibvirtSettings = field(default_factory=LibvirtSettings)
    svm: SvmSettings = field(default_factory=SvmSettings)
    deploy: DeploySettings = field(default_factory=DeploySettings)


def load(path: Path | None, environ: Mapping[str, str]) -> HostSettings:
    """Read the settings, or raise ConfigError with every problem that was found.

    path: the file; None: the one that KVMLA_HOST_CONFIG names, or the defaults here where it names none.
    """
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    return HostSettings() if path is None else read_file(path, HostSettings, _cross_problems)


def _cross_problems(_settings: HostSettings) -> list[Problem]:
    return []
