"""The stub's settings: its defaults, then an optional TOML file, then the environment."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from guest_stub.on_access.settings import AccessSettings, BadSetting, read_table

DEFAULT_FILE = Path("/etc/kvm-light-agent/guest-stub.toml")
SVM_VARIABLE = "KVMLA_SVM"
DEFAULT_SVM = "unix:/run/kvm-light-agent/svm.sock"


class ConfigError(Exception):
    """A setting is wrong; the message names file, line where known, setting and what it may be."""


@dataclass(frozen=True, slots=True)
class StubSettings:
    """svm: "unix:/path" or "tcp:host:port"; "" for where this guest enrolled, else DEFAULT_SVM.
    state_dir: "" for the user's own (see state_directory).

    decisions_mib: bound of the store of decisions, in MiB; 256 hold a million files. threads: that hash, 0
    for as many as there are processors, 4 at most. idle_rate_mb: MB/s read by a scan with --idle.
    exclude: globs left out of every scan. quarantine_mib: bound of the quarantine, in MiB.
    quarantine_days: how long a file is kept there.
    """

    svm: str = ""
    state_dir: str = ""
    decisions_mib: int = 256
    threads: int = 0
    idle_rate_mb: float = 20.0
    exclude: tuple[str, ...] = ()
    quarantine_mib: int = 1024
    quarantine_days: int = 90
    on_access: AccessSettings = field(default_factory=AccessSettings)

    @property
    def hash_threads(self) -> int:
        """How many threads hash."""
        return self.threads or min(4, os.cpu_count() or 1)


_RANGES: Mapping[str, tuple[float, float]] = {
    "decisions_mib": (1, 65536),
    "threads": (0, 64),
    "idle_rate_mb": (0.001, 1_000_000),
    "quarantine_mib": (1, 524_288),
    "quarantine_days": (1, 3650),
}


def load(file: Path | None, environ: Mapping[str, str]) -> StubSettings:
    """Read the settings. Raises ConfigError.

    file: as the user named it, which must exist; None for DEFAULT_FILE, which need not.
    """
    settings = _read(file or DEFAULT_FILE, must_exist=file is not None)
    svm = environ.get(SVM_VARIABLE)
    return replace(settings, svm=svm) if svm else settings


def state_directory(settings: StubSettings, environ: Mapping[str, str], uid: int) -> Path:
    """Where decisions are kept: as set, or of the whole system for root, or of the user."""
    if settings.state_dir:
        return Path(settings.state_dir)
    if uid == 0:
        return Path("/var/lib/kvm-light-agent/stub")
    home = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME") or "/", ".local", "state")
    return Path(home) / "kvm-light-agent" / "stub"


def _read(file: Path, must_exist: bool) -> StubSettings:
    try:
        text = file.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"{file}: there is no such file") from None
        return StubSettings()
    except OSError as problem:
        raise ConfigError(f"{file}: {problem.strerror}") from problem
    except ValueError as problem:  # not UTF-8, or not TOML, which names its line
        raise ConfigError(f"{file}: {problem}") from problem
    except RecursionError as problem:
        raise ConfigError(f"{file}: brackets in brackets, far deeper than any setting") from problem
    values = {
        name: _checked(name, value, _where(file, text, name))
        for name, value in table.items()
        if name != "on_access"
    }
    return StubSettings(**values, on_access=_on_access(file, text, table.get("on_access", {})))


def _on_access(file: Path, text: str, table: Any) -> AccessSettings:
    if not isinstance(table, dict):
        raise ConfigError(f"{_where(file, text, 'on_access')}: on_access is a table: write [on_access]")
    try:
        return read_table(table)
    except BadSetting as problem:
        where = _where(file, text, problem.name, "on_access")
        raise ConfigError(f'{where}: "{problem.name}" {problem}') from problem


def _where(file: Path, text: str, name: str, table: str = "") -> str:
    """The line that names a setting of a table, or one outside of all; the file where none is found."""
    whole, key = (rf'\s*["\']?{re.escape(each)}\b' for each in (f"{table}.{name}".lstrip("."), name))
    within = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+([^\]#]*)", line)
        if header:
            within = header[1].strip().strip("\"'")
        if re.match(whole, header[1] if header else "" if within else line):
            return f"{file}:{number}"
        if within and within == table and re.match(key, line):
            return f"{file}:{number}"
    return str(file)


def _checked(name: str, value: Any, where: str) -> Any:
    default = {each.name: each.default for each in fields(StubSettings)}.get(name)
    if default is None:
        known = ", ".join(each.name for each in fields(StubSettings))
        raise ConfigError(f'{where}: "{name}" is not a setting; there are: {known}')
    if name == "exclude":
        if isinstance(value, list) and all(isinstance(glob, str) and glob for glob in value):
            return tuple(value)
        raise ConfigError(f"{where}: {name} is a list of globs")
    if isinstance(default, str):
        if isinstance(value, str) and value:
            return value
        raise ConfigError(f"{where}: {name} is a text")
    least, most = _RANGES[name]
    number = type(value) is int or (type(value) is float and isinstance(default, float))
    if not (number and least <= value <= most):
        raise ConfigError(f"{where}: {name} is a number from {least:g} to {most:g}, not {value!r}")
    return value
