"""Puts what a seed says where it counts, and makes the SVM's authority when there is none."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

from appliance.first_boot.cards import named
from appliance.first_boot.disks import FirstBootError
from appliance.first_boot.network import network_files
from appliance.first_boot.seed import Seed

USER = "svm"
_NO_ADDRESS = "--renew-server"  # what `svm init` says to do where its certificate lacks an address
_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that it is applied to. root: where its file system begins."""

    root: Path = Path("/")

    @property
    def settings(self) -> Path:
        """The SVM's settings."""
        return self.root / "etc/kvm-light-agent/svm.toml"

    def apply(self, seed: Seed) -> None:
        """Name, networks, keys and settings. What is as it should be is not touched."""
        _write(self.root / "etc/hostname", f"{seed.name}\n")
        _write(self.root / "etc/hosts", f"127.0.0.1 localhost {seed.name}\n::1 localhost\n")
        for name, text in network_files(seed).items():
            _write(self.root / "etc/systemd/network" / name, text)
        if seed.settings:
            _write(self.settings, seed.settings)
        if seed.ssh_keys:
            keys = self.root / "root/.ssh/authorized_keys"
            keys.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(keys, "".join(f"{key}\n" for key in seed.ssh_keys), 0o600)

    def name_itself(self, seed: Seed) -> None:
        """The kernel's word for this machine, which systemd read before."""
        Path("/proc/sys/kernel/hostname").write_text(seed.name)

    def guard(self, seed: Seed, name: Callable[[str], str] = named) -> None:
        """Guests do not reach the host's side: what comes in from their network for that address is dropped.

        Linux takes a packet for any of its addresses on any card. name: that of the card with an address.
        """
        if seed.guests is None or seed.host is None:
            return
        for rule in guard_rules(name(seed.guests.mac), str(seed.host.address.ip)):
            ran = _run(rule, user="root")
            if ran.returncode and "exists" not in ran.stderr and "No such" not in ran.stderr:
                raise FirstBootError(f"`{' '.join(rule)}` failed: {' '.join(ran.stderr.split())[:500]}")

    def init(self, seed: Seed, program: str = "svm") -> str:
        """Run `svm init` as the SVM's own user; return what it says. Raises FirstBootError."""
        command = [program, "init", "--config", str(self.settings)]
        ran = _run([*command, *seed.init])
        if ran.returncode and _NO_ADDRESS in ran.stderr:  # it was deployed again, with other addresses
            addresses = [pair for pair in pairwise(seed.init) if pair[0] == "--address"]
            ran = _run([*command, "--renew-server", *chain.from_iterable(addresses)])
        if ran.returncode:
            raise FirstBootError(f"`svm init` failed: {' '.join(ran.stderr.split())[:500]}")
        return ran.stdout


def guard_rules(card: str, address: str) -> list[list[str]]:
    """The commands by which a card takes nothing for an address that is another card's.

    The kernel's rule for its own addresses, the first of all, makes way for one before it.
    """
    return [
        ["ip", "rule", "add", "pref", "100", "lookup", "local"],
        ["ip", "rule", "add", "pref", "10", "iif", card, "to", address, "blackhole"],
        ["ip", "rule", "del", "pref", "0", "lookup", "local"],
    ]


def _run(command: list[str], user: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program as the SVM's own user, unless another is named. Raises FirstBootError."""
    try:
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            user=user or USER,
            group=user or USER,
            extra_groups=[],
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FirstBootError(f"`{' '.join(command[:2])}` could not be run: {error}") from error


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    if file.exists() and file.read_text() == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(text)
    part.chmod(mode)
    part.rename(file)
