"""Images of an SVM and of a guest for tests, made once on a machine, by the means of svm-host.

They lie in a cache outside of the tree, under a digest of all that goes into them, and are never written to:
give each machine an overlay (`overlay`). In them runs vm_agent, by which a test gets in (vm_shell).
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.hypervisor.image.apt import Apt
from appliance.hypervisor.image.building import Wanted, Workshop
from appliance.hypervisor.image.lock import SHIPPED, ImageLock
from appliance.hypervisor.image.locking import debian_part
from appliance.hypervisor.image.running import ImageError
from tests.support.vm_agent import PORT_NAME

ROOT = Path(__file__).parents[2]
APPEND = "console=ttyS0 root=/dev/vda quiet mitigations=off random.trust_cpu=on"
_KEPT_SECONDS = 24 * 3600.0  # an image that nobody has asked for in that time makes way
_SOURCES = {
    "svm": ("appliance", "protos/lightagent"),
    "guest": ("guest_stub", "appliance/hypervisor/image", "protos/lightagent"),
}
_NOT_IN_IT = ROOT / "appliance/hypervisor"  # but for what makes images
_MAKES_IT = _NOT_IN_IT / "image"
_AGENT = "/usr/lib/kvmla-lab/agent.py"
_UNIT = f"""[Unit]
Description=The test's way into this machine
DefaultDependencies=no
After=systemd-udev-trigger.service

[Service]
ExecStartPre=/bin/sh -c 'until test -e /dev/virtio-ports/{PORT_NAME}; do sleep 0.2; done'
ExecStart=/usr/bin/python3 -I {_AGENT}
Restart=always
RestartSec=1s
OOMScoreAdjust=-1000

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class VmImage:
    """For direct kernel boot. root: a qcow2 that is read only. append: words for the kernel."""

    kernel: Path
    initrd: Path
    root: Path
    append: str = APPEND

    def overlay(self, file: Path) -> Path:
        """A disk of one machine's own over the root, which it may write."""
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", self.root, file], check=True
        )
        return file


def svm_image() -> VmImage:
    """An SVM: see appliance/first_boot for the disks that it wants."""
    return _image("svm")


def guest_image() -> VmImage:
    """A guest with its stub, which `guest-stub.service` runs, not enrolled."""
    return _image("guest")


def cache_directory() -> Path:
    """Where images, and what they are made from, are kept."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or "/var/tmp") / "kvm-light-agent-images"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _image(kind: str) -> VmImage:
    cache = cache_directory()
    directory = cache / f"{kind}-{_key(kind)}"
    with _alone(cache / "making.lock"):
        if not directory.exists():
            _forget_old(cache)
            part = cache / f"{directory.name}.part"
            shutil.rmtree(part, ignore_errors=True)
            _make(kind, cache, part)
            part.rename(directory)
        os.utime(directory)
    return VmImage(directory / "kernel", directory / "initrd", directory / "root.qcow2")


def _make(kind: str, cache: Path, directory: Path) -> None:
    wanted = Wanted(
        kind,
        extra={_AGENT: (ROOT / "tests/support/vm_agent.py").read_text()},
        units={"kvmla-lab.service": _UNIT},
    )
    lock = ImageLock.load(SHIPPED)
    newer = cache / f"newer-{hashlib.sha256(lock.text().encode()).hexdigest()[:16]}.lock"
    if newer.exists():
        lock = ImageLock.load(newer)
    try:
        Workshop(lock, cache, say=_say).direct(wanted, directory)
    except ImageError as error:
        if newer.exists() or "svm-host image lock" not in str(error):
            raise
        _say(f"the lock of the tree cannot be met ({error}): the mirror's present packages are taken")
        now = debian_part(Apt(cache / "apt", lock.suite), lock.epoch, lock.libraries)
        newer.write_text(now.text())
        Workshop(now, cache, say=_say).direct(wanted, directory)


def _key(kind: str) -> str:
    """A digest of all that goes into an image."""
    digest = hashlib.sha256(kind.encode() + _UNIT.encode())
    files = [ROOT / "tests/support/vm_agent.py"]
    for source in _SOURCES[kind]:
        files += (path for path in (ROOT / source).rglob("*") if path.is_file() and _counts(path))
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def _counts(path: Path) -> bool:
    within = path.is_relative_to(_MAKES_IT) or not path.is_relative_to(_NOT_IN_IT)
    return within and "__pycache__" not in path.parts


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One maker at a time on this machine; the others find what it made."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_old(cache: Path) -> None:
    before = time.time() - _KEPT_SECONDS
    for kind in ("svm", "guest"):
        for directory in cache.glob(f"{kind}-*"):
            if directory.stat().st_mtime < before:
                shutil.rmtree(directory, ignore_errors=True)


def _say(sentence: str) -> None:
    print(f"images for tests: {sentence}", file=sys.stderr, flush=True)
