"""The kernel of an image and its modules, out of Debian's package."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from appliance.hypervisor.image.initramfs import Module
from appliance.hypervisor.image.running import ImageError, run

# What stands between the kernel and its root file system, and what a machine needs at once.
EARLY = (
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "ahci",
    "sd_mod",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "crc32c_generic",  # which ext4 asks for by itself, not by its list of dependencies
    "ext4",
    "i6300esb",  # the watchdog that `svm-host deploy` gives an SVM; Debian has it loaded by nothing else
)

# What is loaded later, if at all: the other file systems that a machine may be given, a watchdog, and what
# `svm packet-filter` needs of the packet filter.
LATER = (
    *("button", "evdev", "isofs", "vfat", "nls_ascii", "nls_cp437", "nls_iso8859_1", "nls_utf8"),
    *("overlay", "fuse", "virtiofs", "loop", "dm_mod", "autofs4", "configfs", "qemu_fw_cfg"),
    *("softdog", "xfs", "btrfs", "8021q", "nbd"),
    *("nf_tables", "nft_limit", "nft_connlimit", "nft_objref"),
)
_LISTS = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


@dataclass(frozen=True, slots=True)
class Kernel:
    """release: as `uname -r` says. directory: where its package is laid out."""

    release: str
    directory: Path

    @property
    def image(self) -> Path:
        """What a boot loader loads."""
        return self.directory / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        """The directory of its modules."""
        return self.directory / "lib" / "modules" / self.release

    def early(self) -> list[Module]:
        """The modules for the beginning, those first that others need."""
        return [
            Module(PurePosixPath(path).name, (self.modules / path).read_bytes())
            for path in self.with_needs(EARLY)
        ]

    def with_needs(self, names: Iterable[str]) -> list[str]:
        """The paths of the modules of these names and of all that they need, those first that others need."""
        needs = _needs((self.modules / "modules.dep").read_text())
        builtin = {_name(line) for line in (self.modules / "modules.builtin").read_text().split()}
        order: dict[str, None] = {}
        for name in names:
            if name in builtin:
                continue
            if name not in needs:
                raise ImageError(f"the kernel {self.release} has no module {name}")
            path, others = needs[name]
            order |= dict.fromkeys([*reversed(others), path])
        return list(order)

    def keep(self, directory: Path) -> "Kernel":
        """Put it with the modules that an image has, a twentieth of all, into a directory that is new."""
        kept = Kernel(self.release, directory)
        for name in (*self.with_needs((*EARLY, *LATER)), *_LISTS):
            (kept.modules / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.modules / name, kept.modules / name)
        kept.image.parent.mkdir(parents=True)
        shutil.copyfile(self.image, kept.image)
        run(["depmod", "--basedir", directory, self.release])
        return kept


def unpack_kernel(package: Path, directory: Path) -> Kernel:
    """Lay the package out in a directory that is new. Raises ImageError when there is no kernel in it."""
    run(["dpkg-deb", "--extract", package, directory])
    releases = sorted(path.name for path in directory.glob("lib/modules/*"))
    if len(releases) != 1 or not (directory / "boot" / f"vmlinuz-{releases[0]}").exists():
        raise ImageError(f"{package.name} has no kernel in it: give the package of one by --kernel")
    run(["depmod", "--basedir", directory, releases[0]])
    return Kernel(releases[0], directory)


def _needs(dependencies: str) -> dict[str, tuple[str, list[str]]]:
    """modules.dep: each module's path and what it needs, the nearest first."""
    found = {}
    for line in dependencies.splitlines():
        path, _, others = line.partition(":")
        found[_name(path)] = (path, others.split())
    return found


def _name(path: str) -> str:
    return re.sub(r"\.ko(\.\w+)?$", "", PurePosixPath(path).name).replace("-", "_")
