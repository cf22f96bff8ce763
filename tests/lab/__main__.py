"""The lab of vagrant/, whole: the boxes, `vagrant up`, lab-test, `vagrant destroy`.

With LAB_TYPE=qemu all of it is within a libvirt of its own (tests/support/kvm_host), and touches no other
one; otherwise it is on this machine's libvirt, as people use it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.hypervisor.image.lock import SHIPPED
from tests.support.kvm_host import kvm_host
from tests.support.vm_images import cache_directory, lock_in_use

ROOT = Path(__file__).parents[2]
LAB = ROOT / "vagrant"
SECONDS = 1200.0  # the longest that any step may take


@dataclass(frozen=True)
class Place:
    """Where Vagrant runs. words: stand before a command. environ: for it. log: all that Vagrant says."""

    words: list[str]
    environ: dict[str, str]
    log: Path

    def run(self, *command: str, loud: bool = False) -> int:
        """Run a command in the lab's directory; its exit code. loud: what it prints is shown."""
        given = [f"{name}={value}" for name, value in self.environ.items()]
        with self.log.open("a") as log:
            told = None if loud else log
            return subprocess.run(
                [*self.words, "env", "-C", str(LAB), *given, *command],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                timeout=SECONDS,
            ).returncode


@contextmanager
def place() -> Iterator[Place]:
    """This machine's libvirt, or one apart."""
    environ = {"VAGRANT_CHECKPOINT_DISABLE": "1", "PYTHON": sys.executable}
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    try:
        if os.environ.get("LAB_TYPE") != "qemu":
            yield Place([], environ, directory / "vagrant.log")
            return
        own = {
            "LAB_TYPE": "qemu",
            "LAB_LOGS": str(directory),
            "VAGRANT_HOME": str(directory / "home"),
            "VAGRANT_DOTFILE_PATH": str(directory / "dot"),
        }
        with kvm_host(directory / "h") as host:
            yield Place(host.words(), environ | own, directory / "vagrant.log")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main(words: Sequence[str]) -> int:
    """Run it; the exit code."""
    if words:
        print("make lab takes no words: LAB_TYPE=qemu for a machine without KVM", file=sys.stderr)
        return 2
    _step("boxes")
    made = ["--cache", str(cache_directory()), "--lock", str(lock_in_use(SHIPPED))]
    if code := subprocess.run([LAB / "build-box", *made], check=False).returncode:
        return code
    with place() as lab:
        try:
            _step("vagrant up")
            if code := lab.run("vagrant", "up"):
                print(f"vagrant up {how_ended(code)}:", file=sys.stderr)
                print("\n".join(lab.log.read_text(errors="replace").splitlines()[-40:]), file=sys.stderr)
                return 1
            _step("vagrant/lab-test")
            if code := lab.run(str(LAB / "lab-test"), loud=True):
                print(f"vagrant/lab-test {how_ended(code)}", file=sys.stderr)
            return int(code != 0)
        finally:
            _step("vagrant destroy")
            lab.run("vagrant", "destroy", "--force")
            _step("done")


def how_ended(code: int) -> str:
    """How a command ended, in words. code: as subprocess has it, below 0 for a signal."""
    if code >= 0:
        return f"ended with {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "of no name"
    return f"was ended by signal {-code} ({name})"


_BEGAN = time.monotonic()


def _step(name: str) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {name}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
