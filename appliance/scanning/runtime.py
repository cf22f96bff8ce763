"""What a worker process needs of this machine: the interpreter, its libraries and this package.

Found from the interpreter that runs now, so that virtual environments, editable installs and
Debian's own Python work alike. Nothing else of the machine has to be seen by a worker.
"""

import ctypes.util
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import appliance

_LIBRARIES: Final = ("yara_x", "libarchive", "xxhash")  # all that a worker imports from outside
_SYSTEM_LIBRARIES: Final = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/local/lib")


class RuntimeIncomplete(Exception):
    """Something that workers cannot do without is not installed. The message says what to install."""


@dataclass(frozen=True, slots=True)
class WorkerRuntime:
    """The interpreter and what it reads.

    command: runs the worker program. environment: all of its environment. paths: files and
    directories to be read, outermost first, none within another.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    paths: tuple[Path, ...]


def find_runtime() -> WorkerRuntime:
    """Return the runtime of this process, for its workers. Looks at files and runs ldconfig: takes some ms.

    Raises RuntimeIncomplete.
    """
    archive = ctypes.util.find_library("archive")
    if archive is None:
        raise RuntimeIncomplete("libarchive is not installed: install Debian's package libarchive13")
    # libarchive-c would run ldconfig to find its library, which a sandbox has not.
    return runtime_of("appliance.scanning.worker", _LIBRARIES, {"LIBARCHIVE": archive})


def runtime_of(
    module: str,
    libraries: Sequence[str],
    environment: Mapping[str, str],
    extra: str = "appliance",
) -> WorkerRuntime:
    """Return the runtime of another module of this package that is a program. libraries: that it imports.

    extra: which of the package's extras they come with. Raises RuntimeIncomplete.
    """
    # The real interpreter: in a virtual environment `python` is a link to it, and the site directory
    # that the link stands for is not needed, since every import path is given.
    interpreter = Path(os.path.realpath(sys.executable))
    package = Path(appliance.__path__[0])
    places = [_parent_of(name, extra) for name in libraries]
    standard = [sysconfig.get_path("stdlib"), f"{sys.base_prefix}/lib", f"{sys.base_exec_prefix}/lib"]
    imports = dict.fromkeys(str(path) for path in (package.parent, *places))
    return WorkerRuntime(
        # No site, no user site, no current directory, no writing of bytecode: imports come from where
        # this process has them and from nowhere else.
        command=(str(interpreter), "-S", "-s", "-P", "-B", "-X", "utf8", "-m", module),
        environment={"PYTHONPATH": os.pathsep.join(imports), "LANG": "C.UTF-8", **environment},
        paths=outermost([interpreter, package, *places, *map(Path, standard), *map(Path, _SYSTEM_LIBRARIES)]),
    )


def outermost(paths: list[Path]) -> tuple[Path, ...]:
    """Return the paths that can be seen, without repetition and without those that lie within another."""
    kept: list[Path] = []
    for path in sorted({path for path in paths if os.path.exists(path)}, key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(outer) for outer in kept):
            kept.append(path)
    return tuple(kept)


def _parent_of(library: str, extra: str) -> Path:
    """Return the directory on the import path that holds the library, without importing it."""
    first = library.partition(".")[0]  # a name space may be in several places
    spec = importlib.util.find_spec(library) if importlib.util.find_spec(first) is not None else None
    if spec is None or spec.origin is None:
        raise RuntimeIncomplete(
            f"the Python library {library} is not installed: install kvm-light-agent[{extra}]"
        )
    origin = Path(spec.origin)
    within = len(library.split(".")) if spec.submodule_search_locations else 0
    return origin.parents[within]
