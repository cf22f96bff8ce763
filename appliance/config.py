"""Frozen settings from one TOML file and the environment; the only reader of either.

The defaults here are the embedded ones: `svm serve` without a file runs with them. svm.example.toml
documents every setting. What is written in an annotation (a range, a choice, a form) is what the
file is held to; values that code builds itself are not checked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from appliance.config_doors import AdministratorSettings, ServerSettings
from appliance.config_events import EventSettings, ExposureSettings
from appliance.config_file import ConfigError, read_file
from appliance.config_forms import (
    AbsolutePath,
    Choice,
    PathOrNothing,
    ProxyOrNothing,
    Range,
    ServiceUrlOrNothing,
)
from appliance.config_identity import IdentitySettings
from appliance.config_inventory import InventorySettings
from appliance.config_limits import Limits
from appliance.config_reading import Problem
from appliance.config_scans import ScansSettings

CONFIG_VARIABLE = "KVMLA_CONFIG"
STATE_DIR_VARIABLE = "KVMLA_STATE_DIR"
ADMIN_SOCKET_VARIABLE = "KVMLA_ADMIN_SOCKET"


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The verdict cache, which may be lost."""

    map_mib: Annotated[int, Range(8, 1_048_576)] = 1024
    sync_seconds: Annotated[float, Range(0.1, 3600)] = 5.0
    commit_ms: Annotated[int, Range(1, 10_000)] = 200
    not_detected_ttl_days: Annotated[int, Range(1, 3650)] = 30
    valid_for_seconds: Annotated[int, Range(1, 604_800)] = 3600  # how long a guest may keep an answer


@dataclass(frozen=True, slots=True)
class StateSettings:
    """The durable state: overrides and their audit."""

    audit_entries: Annotated[int, Range(100, 1_000_000)] = 100_000


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """How far containers are unpacked; over any of these the content ends as TOO_LARGE."""

    max_depth: Annotated[int, Range(1, 32)] = 8
    max_members: Annotated[int, Range(1, 1_000_000)] = 50_000
    max_ratio: Annotated[int, Range(2, 100_000)] = 200
    max_total_mib: Annotated[int, Range(1, 65536)] = 1024
    max_member_mib: Annotated[int, Range(1, 65536)] = 256


@dataclass(frozen=True, slots=True)
class ScanningSettings:
    """The sandboxed worker processes. workers: 0 for one per CPU."""

    workers: Annotated[int, Range(0, 256)] = 0
    sandbox: Annotated[str, Choice("bubblewrap", "none-i-accept-the-risk")] = "bubblewrap"
    scan_timeout_seconds: Annotated[float, Range(1, 3600)] = 60.0
    worker_memory_mib: Annotated[int, Range(128, 65536)] = 1024
    crash_hold_seconds: Annotated[float, Range(0, 86400)] = 600.0
    queue: Annotated[int, Range(1, 65536)] = 4096
    unpack: UnpackLimits = field(default_factory=UnpackLimits)


@dataclass(frozen=True, slots=True)
class YaraSettings:
    """YARA-X rules: the shipped ones and those of directories of the operator's."""

    enabled: bool = True
    shipped: bool = True
    rules_dirs: Annotated[tuple[Path, ...], AbsolutePath()] = ()
    trust_file_names: bool = False  # a guest's word for a file reaches rules, and so every guest's verdict
    match_timeout_seconds: Annotated[int, Range(1, 3600)] = 30


@dataclass(frozen=True, slots=True)
class HashlistSettings:
    """Lists of digests: the shipped ones and those of directories of the operator's."""

    enabled: bool = True
    shipped: bool = True
    dirs: Annotated[tuple[Path, ...], AbsolutePath()] = ()


@dataclass(frozen=True, slots=True)
class ClamdSettings:
    """A clamd that runs beside the SVM."""

    enabled: bool = False
    socket: Annotated[Path, AbsolutePath()] = Path("/run/clamav/clamd.ctl")
    timeout_seconds: Annotated[float, Range(1, 3600)] = 60.0
    poll_seconds: Annotated[float, Range(0.1, 3600)] = 5.0


@dataclass(frozen=True, slots=True)
class EicarSettings:
    """The test file that every scanner knows."""

    enabled: bool = True


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The engines, each with its table."""

    yara: YaraSettings = field(default_factory=YaraSettings)
    hashlist: HashlistSettings = field(default_factory=HashlistSettings)
    clamd: ClamdSettings = field(default_factory=ClamdSettings)
    eicar: EicarSettings = field(default_factory=EicarSettings)


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a reputation service that fails is left alone, and for how long."""

    in_a_row: Annotated[int, Range(1, 1000)] = 5
    slow_seconds: Annotated[float, Range(0.01, 60)] = 0.5
    pause_seconds: Annotated[float, Range(0.1, 3600)] = 5.0
    longest_pause_seconds: Annotated[float, Range(0.1, 86400)] = 300.0
    refused_pause_seconds: Annotated[float, Range(1, 604800)] = 3600.0


@dataclass(frozen=True, slots=True)
class SubmitSettings:
    """What of the contents is handed over in extended mode, and how much of it.

    documents: whether tenants may allow that theirs are. part_mib: of a file over max_file_mib, 0 for nothing
    of it. daily_mib, daily_files: in 24 hours, all tenants together. queue: contents that wait.
    """

    after_detection: bool = True
    unknown_executables: bool = True
    documents: bool = False
    max_file_mib: Annotated[int, Range(1, 244)] = 32  # OpenTIP takes 256 MB
    part_mib: Annotated[int, Range(0, 16)] = 1
    daily_mib: Annotated[int, Range(0, 1_000_000)] = 100
    daily_files: Annotated[int, Range(0, 100_000)] = 200
    queue: Annotated[int, Range(1, 1024)] = 64


@dataclass(frozen=True, slots=True)
class StatisticsSettings:
    """What is told of how much was done, to a service that takes it."""

    enabled: bool = True
    interval_minutes: Annotated[int, Range(1, 1440)] = 60


@dataclass(frozen=True, slots=True)
class KsnSettings:
    """The provider's part of KSN: which service, how far, and within which bounds.

    endpoint: "" for the vendor's, which only the global type has. locked: what tenants may not change.
    budget_share: of a caller's budget that a question may take. under_way: requests at a time.
    open_questions: of one guest. per_minute, per_day: requests, 0 for as many as one likes. guest_share: of
    both that one guest may use.
    """

    enabled: bool = False
    type: Annotated[str, Choice("global", "private")] = "global"
    mode_limit: Annotated[str, Choice("standard", "extended")] = "standard"
    endpoint: Annotated[str, ServiceUrlOrNothing()] = ""
    api_key_file: Annotated[Path | None, PathOrNothing()] = None
    ca_file: Annotated[Path | None, PathOrNothing()] = None
    certificate_file: Annotated[Path | None, PathOrNothing()] = None
    certificate_key_file: Annotated[Path | None, PathOrNothing()] = None
    proxy: Annotated[str, ProxyOrNothing()] = field(default="", repr=False)  # may hold a password
    share_between_tenants: bool = False
    locked: Annotated[tuple[str, ...], Choice("mode", "participation", "documents")] = ()
    statement_addition_file: Annotated[Path | None, PathOrNothing()] = None
    budget_share: Annotated[float, Range(0.05, 0.9)] = 0.5
    longest_seconds: Annotated[float, Range(0.1, 60)] = 2.0
    under_way: Annotated[int, Range(1, 32)] = 16  # the driver keeps no more connections than that
    open_questions: Annotated[int, Range(1, 65536)] = 256
    per_minute: Annotated[int, Range(0, 100_000)] = 60
    per_day: Annotated[int, Range(0, 1_000_000)] = 2000
    guest_share: Annotated[float, Range(0.01, 1)] = 0.5
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    submit: SubmitSettings = field(default_factory=SubmitSettings)
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Lists of web addresses, in directories of the operator's."""

    lists_dirs: Annotated[tuple[Path, ...], AbsolutePath()] = ()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What goes to stderr."""

    level: Annotated[str, Choice("debug", "info", "warning", "error")] = "info"
    format: Annotated[str, Choice("json", "text")] = "json"


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    server: ServerSettings = field(default_factory=ServerSettings)
    administrators: AdministratorSettings = field(default_factory=AdministratorSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    limits: Limits = field(default_factory=Limits)
    cache: CacheSettings = field(default_factory=CacheSettings)
    state: StateSettings = field(default_factory=StateSettings)
    events: EventSettings = field(default_factory=EventSettings)
    exposure: ExposureSettings = field(default_factory=ExposureSettings)
    scanning: ScanningSettings = field(default_factory=ScanningSettings)
    scans: ScansSettings = field(default_factory=ScansSettings)
    inventory: InventorySettings = field(default_factory=InventorySettings)
    engines: EngineSettings = field(default_factory=EngineSettings)
    ksn: KsnSettings = field(default_factory=KsnSettings)
    web: WebSettings = field(default_factory=WebSettings)
    log: LogSettings = field(default_factory=LogSettings)


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings, or raise ConfigError with every problem that was found.

    path: the file; None: the one that KVMLA_CONFIG names, or the embedded defaults where it names none.
    KVMLA_STATE_DIR, where set, wins over the file's server.state_dir.
    """
    if path is None and environ.get(CONFIG_VARIABLE):
        path = Path(environ[CONFIG_VARIABLE])
    settings = Settings() if path is None else _read(path)
    state_dir = environ.get(STATE_DIR_VARIABLE)
    if not state_dir:
        return settings
    if wrong := AbsolutePath().problem(state_dir):
        raise ConfigError([f"{STATE_DIR_VARIABLE}: {wrong}"])
    return replace(settings, server=replace(settings.server, state_dir=Path(state_dir)))


def admin_socket(explicit: str | None, config: Path | None, environ: Mapping[str, str]) -> str:
    """Return the path of the administration socket that a client command is to use.

    The first that is given counts: the explicit one, KVMLA_ADMIN_SOCKET, server.admin of the
    settings. Raises ConfigError as load does.
    """
    return explicit or environ.get(ADMIN_SOCKET_VARIABLE) or load(config, environ).server.admin


def _read(path: Path) -> Settings:
    try:
        return read_file(path, Settings, _cross_problems)
    except ConfigError as error:
        raise ConfigError(list(error.problems), check="svm check-config") from error


def _cross_problems(settings: Settings) -> list[Problem]:
    """Return what is wrong between settings that are each allowed."""
    limits, unpack = settings.limits, settings.scanning.unpack
    server, engines, breaker = settings.server, settings.engines, settings.ksn.breaker
    submit, scans = settings.ksn.submit, settings.scans
    ordered: list[tuple[str, str, float, str, float]] = [
        ("limits", "max_file_mib", limits.max_file_mib, "guest_spool_mib", limits.guest_spool_mib),
        ("limits", "guest_spool_mib", limits.guest_spool_mib, "spool_mib", limits.spool_mib),
        ("limits", "tickets_per_user", limits.tickets_per_user, "max_tickets", limits.max_tickets),
        ("limits", "max_batch", limits.max_batch, "open_digests", limits.open_digests),
        ("scanning.unpack", "max_member_mib", unpack.max_member_mib, "max_total_mib", unpack.max_total_mib),
        (
            "ksn.breaker",
            "pause_seconds",
            breaker.pause_seconds,
            "longest_pause_seconds",
            breaker.longest_pause_seconds,
        ),
        ("scans", "least_slots", scans.least_slots, "slots", scans.slots or scans.least_slots),
        ("ksn.submit", "part_mib", submit.part_mib, "max_file_mib", submit.max_file_mib),
    ]
    problems = [
        Problem(
            (*table.split("."), small),
            f"{table}.{small}: {low} is more than {big} ({high}); lower it or raise {big}",
            (*table.split("."), big),
        )
        for table, small, low, big, high in ordered
        if low > high
    ]
    if server.listen == f"unix:{server.admin}":
        what = "server.admin: the same path as server.listen; give it one of its own"
        problems.append(Problem(("server", "admin"), what, ("server", "listen")))
    if not any(engine.enabled for engine in (engines.yara, engines.hashlist, engines.clamd, engines.eicar)):
        what = "engines: none is enabled, so nothing could be scanned; enable one"
        problems.append(Problem(("engines",), what))
    return [*problems, *_ksn_problems(settings.ksn)]


def _ksn_problems(ksn: KsnSettings) -> list[Problem]:
    """Return what KSN lacks to be used as it is set."""
    problems = []
    if (ksn.certificate_file is None) != (ksn.certificate_key_file is None):
        have, lack = "certificate_file", "certificate_key_file"
        if ksn.certificate_file is None:
            have, lack = lack, have
        what = f"ksn.{have}: counts only together with {lack}; give both, or neither"
        problems.append(Problem(("ksn", have), what, ("ksn", lack)))
    if ksn.enabled and ksn.type == "private" and not ksn.endpoint:
        what = "ksn.endpoint: a private KSN has no usual address; give the base URL of yours"
        problems.append(Problem(("ksn", "endpoint"), what, ("ksn", "enabled")))
    if ksn.enabled and ksn.type == "global" and ksn.api_key_file is None:
        what = "ksn.api_key_file: the global KSN answers only who has a key; give the file that holds yours"
        problems.append(Problem(("ksn", "api_key_file"), what, ("ksn", "enabled")))
    if ksn.proxy and ksn.endpoint.startswith("http:"):
        what = "ksn.proxy: would be sent the API key in the clear; give an https:// endpoint, or no proxy"
        problems.append(Problem(("ksn", "proxy"), what, ("ksn", "endpoint")))
    return problems
