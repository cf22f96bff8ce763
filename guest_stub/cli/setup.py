"""What every command needs: settings, where decisions are kept, how the stub introduces itself."""

import os
import platform
import socket
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guest_stub.config import DEFAULT_SVM, StubSettings, load, state_directory
from guest_stub.console import printable
from guest_stub.decisions import StoreSettings
from guest_stub.identity.machine import machine
from guest_stub.identity.store import IdentityRefused, IdentityStore
from guest_stub.remediation.bounds import Bounds
from guest_stub.remediation.quarantine import DIRECTORY, QuarantineSettings
from guest_stub.svm_link.target import Svm
from guest_stub.svm_link.values import HelloLabels
from guest_stub.version import VERSION

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Setup:
    """svm: the address in force. quarantine, identity: below the same directory as the decisions."""

    settings: StubSettings
    svm: str
    store: StoreSettings
    labels: HelloLabels
    quarantine: QuarantineSettings
    identity: IdentityStore
    is_svm_set: bool = True  # by options, environment or settings

    @property
    def target(self) -> Svm:
        """The SVM, and what this guest proves itself by there."""
        return Svm(self.svm, self.identity.proof)

    def target_now(self) -> Svm:
        """The same, also where this guest has enrolled since: where nothing is set, that SVM counts."""
        try:
            known = None if self.is_svm_set else self.identity.read()
        except IdentityRefused:  # which was said when this began
            known = None
        return self.target if known is None else Svm(known.svm, self.identity.proof)


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
        machine=machine(),
    )
    store = StoreSettings(directory, settings.decisions_mib << 20, boot_id)
    bounds = Bounds(settings.quarantine_mib << 20, settings.quarantine_days)
    quarantine = QuarantineSettings(directory / DIRECTORY, bounds)
    identity, said = IdentityStore(directory), options.svm or settings.svm
    return Setup(settings, said or _enrolled(identity), store, labels, quarantine, identity, bool(said))


def _enrolled(identity: IdentityStore) -> str:
    """Where this guest enrolled; where it has not, or that cannot be read, which is said: the default."""
    try:
        known = identity.read()
    except IdentityRefused as problem:
        print(f"guest-stub: {printable(str(problem))}", file=sys.stderr)
        known = None
    return DEFAULT_SVM if known is None else known.svm


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
