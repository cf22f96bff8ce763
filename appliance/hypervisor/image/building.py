"""Makes images, one step after the other; what is made once is kept for the next time."""

import hashlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.hypervisor.image.apt import Apt
from appliance.hypervisor.image.base import make_base
from appliance.hypervisor.image.disk import Boot, make_disk
from appliance.hypervisor.image.filesystem import Ext4
from appliance.hypervisor.image.initramfs import initramfs
from appliance.hypervisor.image.leftovers import in_use
from appliance.hypervisor.image.libraries import Wheels
from appliance.hypervisor.image.lock import ImageLock, Package
from appliance.hypervisor.image.modules import EARLY, LATER, Kernel, unpack_kernel
from appliance.hypervisor.image.programs import add_programs, trust_compiled
from appliance.hypervisor.image.recipe import Access, Recipe, dress, guest_recipe, svm_recipe
from appliance.hypervisor.image.running import ImageError, run
from appliance.hypervisor.image.tree import Tree

ROOT_LABEL = "kvmla-root"
ROOT_UUIDS = {"svm": "6b766d6c-6130-4000-8000-00000000053d", "guest": "6b766d6c-6130-4000-8000-000000000657"}
# console: what is said at boot is seen from the host.
APPEND = "console=ttyS0 root=LABEL=kvmla-root rw quiet panic=10 random.trust_cpu=on"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. kind: svm or guest. packages: name of the set. mib: of the root file system.

    extra: files of one's own, {path in it: text}. units: systemd units of one's own, enabled: {name: text}.
    """

    kind: str
    packages: str = "base"
    access: Access = field(default_factory=lambda: Access({}))
    extra: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    mib: int = 1024


@dataclass(frozen=True, slots=True)
class Direct:
    """An image for direct kernel boot. root: a qcow2 with the root file system."""

    kernel: Path
    initrd: Path
    root: Path


@dataclass(frozen=True, slots=True)
class _Parts:
    boot: Boot
    root: Path
    scratch: Path


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where images are made. cache: a directory for what is brought and made once. say: told of each step."""

    lock: ImageLock
    cache: Path
    mirror: str = ""
    say: Progress = print

    def direct(self, wanted: Wanted, directory: Path, root: Path | None = None) -> Direct:
        """Make one for direct kernel boot in a directory. root: None for there as well. Raises ImageError."""
        directory.mkdir(parents=True, exist_ok=True)
        found = Direct(directory / "kernel", directory / "initrd", root or directory / "root.qcow2")
        with self._parts(wanted) as parts:
            shutil.copyfile(parts.boot.kernel, found.kernel)
            found.initrd.write_bytes(parts.boot.initrd)
            to_qcow2(parts.root, found.root)
        return found

    def disk(self, wanted: Wanted, file: Path) -> None:
        """Make one that boots by itself, as a qcow2 file. Raises ImageError."""
        with self._parts(wanted) as parts:
            self.say(f"{wanted.kind}: disk")
            raw = parts.scratch / "disk.raw"
            make_disk(parts.boot, parts.root, self.lock.epoch, raw, parts.scratch)
            to_qcow2(raw, file)

    @contextmanager
    def _parts(self, wanted: Wanted) -> Iterator["_Parts"]:
        with in_use(self.cache), TemporaryDirectory(prefix="kvmla-image-", dir=self.cache) as made:
            scratch = Path(made)
            kernel = self.kernel()
            tree = self.tree(wanted, kernel, scratch)
            root = scratch / "root.raw"
            self.root_file(wanted, tree, root, scratch)
            initrd = initramfs(tree.content("/bin/busybox"), kernel.early(), ROOT_LABEL)
            yield _Parts(Boot(kernel.image, initrd, APPEND), root, scratch)

    def kernel(self) -> Kernel:
        """The kernel, laid out once."""
        named = " ".join((self.lock.kernel.sha256, *EARLY, *LATER))
        directory = self.cache / f"kernel-{hashlib.sha256(named.encode()).hexdigest()[:16]}"
        if not directory.exists():
            self.say(f"kernel {self.lock.kernel.version}")
            package = self._apt().fetch([self.lock.kernel])[0]
            with TemporaryDirectory(prefix="kvmla-kernel-", dir=self.cache) as made:
                whole = unpack_kernel(package, Path(made) / "whole")
                whole.keep(Path(made) / "kept").directory.rename(directory)
        return Kernel(sorted(path.name for path in directory.glob("lib/modules/*"))[0], directory)

    def tree(self, wanted: Wanted, kernel: Kernel, scratch: Path) -> Tree:
        """The whole root file system."""
        recipe = recipe_of(wanted.kind)
        tree = Tree.of_tar(self.base(wanted.packages), self.lock.epoch)
        dress(tree, recipe, wanted.access)
        trust_compiled(tree)
        tree.add_files(f"/lib/modules/{kernel.release}", kernel.modules)
        self.say(f"{wanted.kind}: programs and libraries, compiled by the image's own Python")
        wheels = Wheels(self.cache / "wheels").fetch(self.lock.libraries[recipe.name])
        place = scratch / "programs"
        place.mkdir()
        add_programs(tree, recipe.packages, recipe.programs, wheels, place)
        for path, text in sorted(wanted.extra.items()):
            tree.add_text(path, text)
        for name, text in sorted(wanted.units.items()):
            tree.add_unit(name, text)
        return tree

    def root_file(self, wanted: Wanted, tree: Tree, file: Path, scratch: Path) -> None:
        """The root file system as a file."""
        self.say(f"{wanted.kind}: file system")
        contents = scratch / "contents"
        contents.mkdir()
        Ext4(ROOT_LABEL, ROOT_UUIDS[wanted.kind], wanted.mib).make(tree, file, contents)
        shutil.rmtree(contents)

    def base(self, packages: str) -> Path:
        """The root file system of the packages of a set, made once."""
        pins = self.lock.packages.get(packages)
        if pins is None:
            raise ImageError(
                f"the lock has no packages {packages!r}: `svm-host image lock` writes a whole one"
            )
        file = self.cache / f"base-{_digest(pins, self.lock.epoch)}.tar"
        if not file.exists():
            self.say(f"root file system of {len(pins)} packages of Debian {self.lock.suite}")
            self.cache.mkdir(parents=True, exist_ok=True)
            make_base(self._apt(), pins, self.lock.epoch, file)
        return file

    def _apt(self) -> Apt:
        return Apt(self.cache / "apt", self.lock.suite, self.mirror)


def recipe_of(kind: str) -> Recipe:
    """The recipe of a kind of image. Raises ImageError."""
    if kind == "svm":
        return svm_recipe()
    stub = importlib.util.find_spec("guest_stub")
    if stub is None or not stub.submodule_search_locations:
        raise ImageError(
            "the package guest_stub is not installed beside svm-host: install kvm-light-agent whole"
        )
    return guest_recipe(Path(stub.submodule_search_locations[0]))


def to_qcow2(raw: Path, file: Path) -> None:
    """Convert a raw image; the file appears whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    try:
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, part])
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def _digest(pins: tuple[Package, ...], epoch: int) -> str:
    text = f"{epoch} " + " ".join(pin.sha256 for pin in pins)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
