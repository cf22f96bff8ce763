"""The table [on_access] of the stub's settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from guest_stub.on_access.coverage import Mount
from guest_stub.on_access.policy import AccessPolicy, FailMode, Mode, Operation
from guest_stub.remediation.done import Action

_RANGES = {
    "open_seconds": (0.05, 300.0),
    "exec_seconds": (0.05, 300.0),
    "stale_grace_seconds": (0.0, 86_400.0),
}
_CHOICES: Mapping[str, type[Mode] | type[FailMode] | type[Action]] = {
    "mode": Mode,
    "action": Action,
    "open_on_failure": FailMode,
    "exec_on_failure": FailMode,
}
_SWITCHES = ("block_suspicious", "restore_on_clean")
_PATHS = ("watch", "exclude_programs")


class BadSetting(ValueError):
    """A setting is wrong. name: which. The message is a sentence without it."""

    def __init__(self, name: str, why: str) -> None:
        """Keep both."""
        super().__init__(why)
        self.name = name


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """See guest-stub.example.toml.

    mode: what waits for a verdict. open_seconds, exec_seconds: how long. open_on_failure, exec_on_failure:
    "allow" or "deny" where there is no verdict in time; on_failure_below: instead, below these directories.
    watch: these mount points alone; empty for every local file system. exclude: globs of files, of kinds of
    file systems, and paths of programs, that are left alone. action: what is done with what was detected.
    restore_on_clean: whether what is in the quarantine comes back when it turns out to be clean.
    """

    mode: Mode = Mode.BLOCK_OPEN
    open_seconds: float = 10.0
    exec_seconds: float = 20.0
    open_on_failure: FailMode = FailMode.ALLOW
    exec_on_failure: FailMode = FailMode.ALLOW
    on_failure_below: Mapping[str, FailMode] = field(default_factory=dict)
    block_suspicious: bool = False
    stale_grace_seconds: float = 300.0
    watch: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_file_systems: tuple[str, ...] = ()
    exclude_programs: tuple[str, ...] = ()
    action: Action = Action.BLOCK
    restore_on_clean: bool = True

    def watches(self, mount: Mount) -> bool:
        """Whether the file system at a mount point is to be watched."""
        if self.watch:
            return mount.point in self.watch
        return mount.local and mount.kind not in self.exclude_file_systems

    @property
    def policy(self) -> AccessPolicy:
        """What it comes to for an event."""
        return AccessPolicy(
            self.mode,
            {Operation.OPEN: self.open_seconds, Operation.EXEC: self.exec_seconds},
            {Operation.OPEN: self.open_on_failure, Operation.EXEC: self.exec_on_failure},
            self.on_failure_below,
            self.block_suspicious,
            self.stale_grace_seconds,
            self.action,
        )


def read_table(table: Mapping[str, Any]) -> AccessSettings:
    """Check a table of settings. Raises BadSetting."""
    return AccessSettings(**{name: _checked(name, value) for name, value in table.items()})


def _checked(name: str, value: Any) -> Any:
    known = [each.name for each in fields(AccessSettings)]
    if name not in known:
        raise BadSetting(name, f"is not a setting of [on_access]; there are: {', '.join(known)}")
    if name in _CHOICES:
        return _chosen(name, _CHOICES[name], value)
    if name in _RANGES:
        least, most = _RANGES[name]
        if type(value) not in (int, float) or not least <= value <= most:
            raise BadSetting(name, f"is a number from {least:g} to {most:g}, not {value!r}")
        return float(value)
    if name in _SWITCHES:
        if type(value) is not bool:
            raise BadSetting(name, f"is true or false, not {value!r}")
        return value
    if name == "on_failure_below":
        if not isinstance(value, dict) or not all(path.startswith("/") for path in value):
            raise BadSetting(name, 'is a table such as { "/srv" = "deny" }, with absolute paths')
        return {normalised(name, path): _chosen(name, FailMode, mode) for path, mode in value.items()}
    return _listed(name, value)


def _listed(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise BadSetting(name, "is a list of texts")
    if name in _PATHS:
        return tuple(normalised(name, path) for path in value)
    return tuple(value)


def normalised(name: str, path: str) -> str:
    """A path as the kernel writes it, without what may be left out. Raises BadSetting for a relative one."""
    if not path.startswith("/"):
        raise BadSetting(name, f"names absolute paths, and {path!r} is none")
    return "/" + os.path.normpath(path).lstrip("/")


def _chosen(
    name: str, words: "type[Mode] | type[FailMode] | type[Action]", value: Any
) -> "Mode | FailMode | Action":
    if value not in list(map(str, words)):
        raise BadSetting(name, f"is one of {', '.join(words)}, not {value!r}")
    return words(value)
