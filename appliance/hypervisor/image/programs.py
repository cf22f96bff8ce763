"""Our own programs in an image, with their libraries, compiled beforehand by the image's own Python."""

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from appliance.hypervisor.image.libraries import PYTHON, unpack
from appliance.hypervisor.image.running import ImageError, run
from appliance.hypervisor.image.tree import Tree
from appliance.version import program_version

SITE = f"/usr/local/lib/python{PYTHON}/dist-packages"
_SCRIPT = """#!/usr/bin/python3 -sP
import sys
from {module} import main
sys.exit(main())
"""
_FLAGS = slice(4, 8)  # of a .pyc, after the magic number
_CHECKED, _UNCHECKED = (bits.to_bytes(4, "little") for bits in (0b11, 0b01))
# What Python needs in order to compile: itself and what it loads.
_COMPILER = (
    "/bin",
    "/lib",
    "/lib64",
    "/usr/bin",
    f"/usr/lib/python{PYTHON}",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
)


def add_programs(
    tree: Tree, packages: Sequence[str], programs: dict[str, str], wheels: Sequence[Path], scratch: Path
) -> None:
    """Enter our packages, their libraries and a command for each program: {"svm": "appliance.__main__"}.

    The packages are those that run now. scratch: a directory of its own. Raises ImageError.
    """
    site = scratch / "site"
    site.mkdir()
    unpack(wheels, site)
    for package in packages:
        _copy(package, site)
    info = site / f"kvm_light_agent-{program_version()}.dist-info"
    if program_version()[0].isdigit():
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: kvm-light-agent\nVersion: {program_version()}\n"
        )
    _compile(tree, site, scratch)
    tree.add_files(SITE, site)
    for name, module in programs.items():
        tree.add_text(f"/usr/bin/{name}", _SCRIPT.format(module=module), 0o755)


def trust_compiled(tree: Tree) -> None:
    """Have Python take what Debian's packages have compiled as it is.

    Made reproducibly it has a digest of its source in place of a time (PEP 552), and each import would read
    and hash the source to compare: a good part of each start. Nothing in an image changes in its place.
    """
    for path, entry in tree.entries.items():
        if path.suffix == ".pyc" and (content := entry.content())[_FLAGS] == _CHECKED:
            trusted = content[:4] + _UNCHECKED + content[8:]
            tree.entries[path] = replace(entry, read=partial(bytes, trusted))


def _copy(package: str, site: Path) -> None:
    """Copy a package as it is imported here: "appliance!hypervisor" is one without one of its rooms."""
    name, _, without = package.partition("!")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ImageError(f"the package {name} is not here: install kvm-light-agent whole")
    source = Path(spec.submodule_search_locations[0])

    def ignored(directory: str, names: list[str]) -> set[str]:
        left_out = {"__pycache__"} | ({without} if Path(directory) == source else set())
        return left_out & set(names)

    shutil.copytree(source, site / name, ignore=ignored)


def _compile(tree: Tree, site: Path, scratch: Path) -> None:
    """Compile what is there by the Python of the tree: what this machine has may be another."""
    with TemporaryDirectory(prefix="root-", dir=scratch) as made:
        root = Path(made)
        for path, entry in sorted(tree.entries.items()):
            if not any(path.is_relative_to(prefix) for prefix in _COMPILER):
                continue
            place = root / path.relative_to("/")
            if entry.target:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(entry.target)
            elif entry.read:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(entry.content())
                place.chmod(entry.mode & 0o777)
        inside = root / PurePosixPath(SITE).relative_to("/")
        inside.parent.mkdir(parents=True)
        site.rename(inside)
        words = ["-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash"]
        run(["chroot", root, "/usr/bin/python3", "-S", *words, SITE], {"PYTHONHASHSEED": "0"})
        inside.rename(site)
