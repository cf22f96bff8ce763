"""The settings of `svm-host`: one TOML file. svm-host.example.toml documents each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from appliance.config_file import read_file
from appliance.config_forms import AbsolutePath, AddressOrNothing, PathOrNothing, Range
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
class DisksSettings:
    """How much `scan-image` reads: files of one volume, the largest file, hours for all of it.

    backup_dir: where the backup of a running machine has its socket and what is written meanwhile, which QEMU
    has to be let do there; empty: in the machine's own directory of libvirt, and beside its disks.
    """

    files: Annotated[int, Range(1, 100_000_000)] = 5_000_000
    file_mib: Annotated[int, Range(1, 1_048_576)] = 4096
    hours: Annotated[float, Range(0.001, 168)] = 12.0
    backup_dir: Annotated[str, PathOrNothing()] = ""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """All of them."""

    state_dir: Annotated[Path, AbsolutePath()] = Path("/var/lib/kvm-light-agent/svm-host")
    libvirt: LibvirtSettings = field(default_factory=LibvirtSettings)
    svm: SvmSettings = field(default_factory=SvmSettings)
    disks: DisksSettings = field(default_factory=DisksSettings)


def load(path: Path | None, environ: Mapping[str, str]) -> HostSettings:
    """Read the settings, or raise ConfigError with every problem that was found.

    path: the file; None: the one that KVMLA_HOST_CONFIG names, or the defaults here where it names none.
    """
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    return HostSettings() if path is None else read_file(path, HostSettings, _cross_problems)


def _cross_problems(_settings: HostSettings) -> list[Problem]:
    return []
