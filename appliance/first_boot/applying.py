"""Puts what a seed says where it counts, and makes the SVM's authority when there is none."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from appliance.first_boot.disks import FirstBootError
from appliance.first_boot.network import network_files
from appliance.first_boot.seed import Seed

USER = "svm"
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

    def init(self, seed: Seed, program: str = "svm") -> str:
        """Run `svm init` as the SVM's own user; return what it says. Raises FirstBootError."""
        command = [program, "init", "--config", str(self.settings), *seed.init]
        try:
            ran = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
                user=USER,
                group=USER,
                extra_groups=[],
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FirstBootError(f"`svm init` could not be run: {error}") from error
        if ran.returncode:
            raise FirstBootError(f"`svm init` failed: {' '.join(ran.stderr.split())[:500]}")
        return ran.stdout


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    if file.exists() and file.read_text() == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(text)
    part.chmod(mode)
    part.rename(file)
