"""The files that an SVM is made from, looked at first: an image, or kernel, initrd and root."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from appliance.hypervisor.deploy.deployment import BadDeployment

MAX_KERNEL_BYTES = 256 * 1024 * 1024
MAX_INITRD_BYTES = 1024 * 1024 * 1024
MAX_DISK_BYTES = 2**40  # what the image may grow to

_LOOK_SECONDS = 120.0
_LOOK_MEMORY_BYTES = 2 * 1024 * 1024 * 1024
_LINUX = (0x202, b"HdrS")  # of a bzImage; Documentation/arch/x86/boot.rst
_LEAKED = 3  # qemu-img check: room is lost, no content


@dataclass(frozen=True, slots=True)
class Part:
    """What goes into a volume. name: the volume's, of which the content is a part; size: bytes."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


def system(path: Path) -> Part:
    """A system's disk. Raises BadDeployment for what is damaged, encrypted, or not whole by itself."""
    _regular(path, "--image", MAX_DISK_BYTES)
    found = json.loads(_qemu_img(path, "info", "--output=json").stdout)
    if found.get("encrypted") or found.get("format-specific", {}).get("data", {}).get("encrypt"):
        raise BadDeployment(f"{path} is encrypted, and nobody types its password: give one that is not")
    if found.get("backing-filename") or found.get("format-specific", {}).get("data", {}).get("data-file"):
        raise BadDeployment(
            f"{path} needs another file beside it: give one that is whole, by `qemu-img convert -O qcow2`"
        )
    if found.get("virtual-size", 0) > MAX_DISK_BYTES:
        raise BadDeployment(
            f"{path} is a disk of more than {MAX_DISK_BYTES // 2**30:,} GiB: give the SVM's image"
        )
    checked = _qemu_img(path, "check", "--output=json", good=(0, _LEAKED))
    assert checked.returncode in (0, _LEAKED)
    return _part(path, "svm-system-{}.qcow2")


def kernel(path: Path) -> Part:
    """A kernel of Linux, as a bzImage. Raises BadDeployment."""
    _regular(path, "--kernel", MAX_KERNEL_BYTES)
    place, magic = _LINUX
    with path.open("rb") as file:
        file.seek(place)
        if file.read(len(magic)) != magic:
            raise BadDeployment(f"--kernel {path} is no kernel of Linux: give a vmlinuz")
    return _part(path, "svm-kernel-{}")


def initrd(path: Path) -> Part:
    """Its first file system. Raises BadDeployment."""
    _regular(path, "--initrd", MAX_INITRD_BYTES)
    return _part(path, "svm-initrd-{}")


def in_memory(name: str, content: bytes) -> Part:
    """One that is made here."""
    return Part(name, len(content), lambda: BytesIO(content))


def _part(path: Path, form: str) -> Part:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Part(form.format(digest[:12]), path.stat().st_size, lambda: path.open("rb"))


def _regular(path: Path, what: str, most: int) -> None:
    try:
        if not path.is_file():
            raise BadDeployment(
                f"{what} {path} is not there, or no file: `svm-host image build svm` makes one"
            )
        size = path.stat().st_size
        path.open("rb").close()
    except OSError as error:
        raise BadDeployment(f"{what} {path} cannot be read ({error.strerror}): see whose it is") from error
    if not 0 < size <= most:
        raise BadDeployment(f"{what} {path} has {size:,} bytes: it is something else; give 1 to {most:,}")


def _qemu_img(
    path: Path, verb: str, *words: str, good: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[str]:
    """Run qemu-img on a qcow2 file, within bounds. Raises BadDeployment."""
    program = shutil.which("qemu-img")
    if program is None:
        raise BadDeployment("qemu-img is not here, which looks at images: install qemu-utils")
    try:
        ran = subprocess.run(
            [program, verb, *words, "-f", "qcow2", os.path.abspath(path)],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LOOK_SECONDS,
            preexec_fn=_bounded,  # no other thread holds a lock that it needs
        )
    except subprocess.TimeoutExpired as error:
        raise BadDeployment(
            f"{path} was looked at for {_LOOK_SECONDS:g} s, in vain: have it made anew"
        ) from error
    if ran.returncode not in good:
        said = (ran.stderr.strip() or "errors were found").splitlines()[-1]
        raise BadDeployment(
            f"{path} is damaged, or no qcow2 image ({said[:300]}): get it anew, or make it by "
            "`svm-host image build svm`"
        )
    return ran


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_LOOK_MEMORY_BYTES, _LOOK_MEMORY_BYTES))
    seconds = int(_LOOK_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
