"""The settings of `svm-host`: one TOML file. svm-host.example.toml documents each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from appliance.config import LogSettings
from appliance.config_file import read_file
from appliance.config_forms import (
    AbsolutePath,
    AddressOrNothing,
    Choice,
    HostOrNothing,
    PathOrNothing,
    Range,
)
from appliance.domain.policy import TENANT_RULE, is_tenant

CONFIG_VARIABLE = "KVMLA_HOST_CONFIG"

# For what a machine may be cut off by itself: a detection of either disposition, an outbreak, a copied
# identity.
REASONS = ("malicious", "suspicious", "outbreak", "clone")
WAIT_SECONDS = Range(1, 3600)


@dataclass(frozen=True, slots=True)
class LibvirtSettings:
    """uri: as libvirt writes it, of each host that this agent stands for."""

    uri: tuple[str, ...] = ("qemu:///system",)


@dataclass(frozen=True, slots=True)
class SvmSettings:
    """Where the SVM's administrators' door is, "" for none; and the host agent's certificate for it."""

    server: Annotated[str, AddressOrNothing()] = ""
    identity: Annotated[Path, AbsolutePath()] = Path("/etc/kvm-light-agent/svm-host")


class _Owners:
    """TENANT=PATTERN, the pattern of names as a shell has them."""

    def problem(self, value: str) -> str:
        """Refuse what is no such pair."""
        tenant, between, pattern = value.partition("=")
        if not between or not pattern:
            return f"{value[:200]!r} is not TENANT=PATTERN"
        return "" if is_tenant(tenant) else f"{tenant[:80]!r} is no name of a tenant: {TENANT_RULE}"


class _TenantOrNothing:
    """A tenant's name, or an empty text."""

    def problem(self, value: str) -> str:
        """Refuse what is neither."""
        return (
            "" if not value or is_tenant(value) else f"{value[:80]!r} is no name of a tenant: {TENANT_RULE}"
        )


@dataclass(frozen=True, slots=True)
class MachinesSettings:
    """Whose machines are, where their metadata does not say it, and which are not to be protected.

    file: lines "UUID TENANT [excluded]". tenants: TENANT=PATTERN, the first that matches a name counts.
    tenant: of all others, "" for nobody's. exclude: patterns of names.
    """

    file: Annotated[str, PathOrNothing()] = ""
    tenants: Annotated[tuple[str, ...], _Owners()] = ()
    tenant: Annotated[str, _TenantOrNothing()] = ""
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IsolationSettings:
    """Which machines are cut off by themselves, and what stays.

    on: words of REASONS; none: no machine is. snapshot: one is made of each. at_most_per_hour: further ones
    are not cut off: a false alarm must not take everything away. keep: names of libvirt networks and of
    bridges whose links stay up.
    """

    on: Annotated[tuple[str, ...], Choice(*REASONS)] = ()
    snapshot: bool = False
    at_most_per_hour: Annotated[int, Range(1, 100_000)] = 10
    keep: tuple[str, ...] = ("kvmla-protection", "kvmla0")


@dataclass(frozen=True, slots=True)
class EnrolmentSettings:
    """Attested enrolment. automatic: machines enrol by themselves. exclude: but those with names like these.

    svm: the SVM's address as guests reach it, where the SVM was not told it; "" for that one.
    """

    automatic: bool = False
    exclude: tuple[str, ...] = ()
    svm: Annotated[str, HostOrNothing()] = ""


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
    wait_seconds: Annotated[float, WAIT_SECONDS] = 300.0
    administrator: Annotated[Path, AbsolutePath()] = Path("/etc/kvm-light-agent/administrator")


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
    machines: MachinesSettings = field(default_factory=MachinesSettings)
    isolation: IsolationSettings = field(default_factory=IsolationSettings)
    enrolment: EnrolmentSettings = field(default_factory=EnrolmentSettings)
    deploy: DeploySettings = field(default_factory=DeploySettings)
    log: LogSettings = field(default_factory=LogSettings)
    disks: DisksSettings = field(default_factory=DisksSettings)


def load(path: Path | None, environ: Mapping[str, str]) -> HostSettings:
    """Read the settings, or raise ConfigError with every problem that was found.

    path: the file; None: the one that KVMLA_HOST_CONFIG names, or the defaults here where it names none.
    """
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    return HostSettings() if path is None else read_file(path, HostSettings, lambda _settings: [])
