"""What every command needs: settings, where decisions are kept, how the stub introduces itself."""

import os
import platform
import socket
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guest_stub.config import StubSettings, load, state_directory
from guest_stub.decisions import StoreSettings
from guest_stub.remediation.bounds import Bounds
from guest_stub.remediation.quarantine import DIRECTORY, QuarantineSettings
from guest_stub.svm_link.values import HelloLabels
from guest_stub.version import VERSION

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Setup:
    """svm: the target in force. quarantine: below the same directory as the decisions."""

    settings: StubSettings
    svm: str
    store: StoreSettings
    labels: HelloLabels
    quarantine: QuarantineSettings


def prepare(options: Namespace, environ: Mapping[str, str]) -> Setup:
    """Put command line, environment and configuration together. Raises ConfigError."""
    settings = load(options.config, environ)
    boot_id = _boot_id()
    directory = options.state or state_directory(settings, environ, os.geteuid())
    labels = HelloLabels(
        stub_version=VERSION,
        os=_os_name(),
        boot_id=boot_id,
        host_name=socket.gethostname(),
        session=os.urandom(8).hex(),
    )
    store = StoreSettings(directory, settings.decisions_mib << 20, boot_id)
    bounds = Bounds(settings.quarantine_mib << 20, settings.quarantine_days)
    quarantine = QuarantineSettings(directory / DIRECTORY, bounds)
    return Setup(settings, options.svm or settings.svm, store, labels, quarantine)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.platform()
