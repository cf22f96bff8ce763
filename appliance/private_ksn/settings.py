"""Frozen settings from one TOML file, and what they are held to.

private-ksn.example.toml documents every setting; the values there are the defaults here.
"""

import ipaddress
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from appliance.config import LogSettings
from appliance.config_forms import AbsolutePath, AddressOrNothing, Choice, Range
from appliance.config_lines import lines_of
from appliance.config_reading import Problem, read_table

MAX_CONFIG_BYTES = 256 * 1024
ANYWHERE = "anywhere-i-accept-the-risk"


class SettingsError(Exception):
    """The settings cannot be used; the message has a line for each problem."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where it listens and keeps its files. metrics: "" for off."""

    listen: Annotated[str, AddressOrNothing()] = "127.0.0.1:8443"
    certificate: str = ""
    private_key: str = ""
    plain_http: Annotated[str, Choice("loopback-only", ANYWHERE)] = "loopback-only"
    metrics: Annotated[str, AddressOrNothing()] = ""
    data_dir: Annotated[Path, AbsolutePath()] = Path("/var/lib/private-ksn")
    keys_file: Annotated[Path, AbsolutePath()] = Path("/etc/private-ksn/keys")
    stop_grace_seconds: Annotated[float, Range(0, 600)] = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one key may ask for, and all together."""

    requests_per_second: Annotated[int, Range(1, 1_000_000)] = 2000
    max_submit_mib: Annotated[int, Range(1, 256)] = 64
    submitted_mib: Annotated[int, Range(1, 1_048_576)] = 4096
    submit_seconds: Annotated[float, Range(1, 3600)] = 120.0
    statistics_mib: Annotated[int, Range(1, 65536)] = 64
    wait_seconds: Annotated[float, Range(1, 300)] = 60.0
    waiting: Annotated[int, Range(1, 4096)] = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    server: ServerSettings = field(default_factory=ServerSettings)
    limits: Limits = field(default_factory=Limits)
    log: LogSettings = field(default_factory=LogSettings)


def load(path: Path | None) -> Settings:
    """Read the settings, the defaults where no file is named, or raise SettingsError with every problem."""
    if path is None:
        return Settings()
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
        if len(raw) > MAX_CONFIG_BYTES:
            raise SettingsError(f"{path}: over {MAX_CONFIG_BYTES // 1024} KiB, which is no settings file")
        text = raw.decode()
        document = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read: {error.strerror}; give a TOML file that you may read"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets in brackets
        raise SettingsError(f"{path}: holds a number or a nesting longer than any setting") from error
    problems: list[Problem] = []
    settings = read_table(Settings, document, (), problems)
    if not problems:
        problems = _cross_problems(settings.server)
    if problems:
        lines = lines_of(text)
        placed = sorted((lines.get(one.key) or lines.get(one.other, 0), one.sentence) for one in problems)
        raise SettingsError(
            "; ".join(f"{path}:{line}: {what}" if line else f"{path}: {what}" for line, what in placed)
        )
    return settings


def host_and_port(address: str) -> tuple[str, int]:
    """The two of a HOST:PORT that the settings took."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _cross_problems(server: ServerSettings) -> list[Problem]:
    """What is wrong between settings that are each allowed."""
    problems = []
    if not server.listen:
        problems.append(Problem(("server", "listen"), "server.listen: must not be empty: give HOST:PORT"))
    elif bool(server.certificate) != bool(server.private_key):
        what = "server.certificate and server.private_key: one without the other; give both or none"
        problems.append(Problem(("server", "certificate"), what, ("server", "private_key")))
    elif not server.certificate and server.plain_http != ANYWHERE and not _is_loopback(server.listen):
        what = (
            f"server.listen: {server.listen} without a certificate would send keys in the clear: give one, "
            f'listen on 127.0.0.1, or set plain_http = "{ANYWHERE}"'
        )
        problems.append(Problem(("server", "listen"), what))
    return problems


def _is_loopback(address: str) -> bool:
    host, _ = host_and_port(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
