"""A real C project to build: libsodium, some 120 sources, by its own configure script and Makefile.

It comes in the source distribution of a Python package, so pip fetches it from where it fetches all others,
and checks it by the hash in building.lock. Configured once, before anything is measured.
"""

import os
import shlex
from pathlib import Path

from tests.benchmarks.guarded import Machine
from tests.benchmarks.harness import Bench
from tests.benchmarks.processes import python, run

LOCK = Path(__file__).with_name("building.lock")
# What a short run makes of it.
FEW = ("-C", "src/libsodium", "crypto_verify/libsodium_la-verify.lo", "sodium/libsodium_la-version.lo")


def source(bench: Bench) -> Path:
    """The configured tree. Made once in a run."""
    place = bench.shared / "building"
    ready = place / "libsodium"
    if ready.exists():
        return ready
    bench.say("  fetching and configuring libsodium")
    place.mkdir()
    fetching = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes")
    where = ("--dest", str(place), "--requirement", str(LOCK))
    run(python("-m", "pip", "download", "--quiet", "--disable-pip-version-check", *fetching, *where))
    (packed,) = place.glob("*.tar.gz")
    run(["tar", "-xzf", str(packed), "-C", str(place)])
    (found,) = place.glob("*/src/libsodium")
    configuring = "./configure --quiet --disable-shared --disable-dependency-tracking"
    run(["sh", "-c", f"cd {shlex.quote(str(found))} && exec {configuring}"])
    found.rename(ready)
    return ready


def build(machine: Machine, *, few: bool = False, salt: int | None = None) -> float:
    """Build it on a machine, with as many jobs as there are CPUs; its seconds.

    few: of its files. salt: makes every object file one that was never there before.
    """
    flags = [] if salt is None else [f"CPPFLAGS=-Wa,--defsym,salt_{salt}={salt}"]
    return machine.run(_make(machine, f"-j{os.cpu_count()}", *(FEW if few else ()), *flags))


def clean(machine: Machine) -> None:
    """Take away what was built."""
    machine.run(_make(machine, "clean"))


def _make(machine: Machine, *words: str) -> list[str]:
    tree = machine.watched / "tree"
    entering = f'cd {shlex.quote(str(tree))} && TMPDIR={shlex.quote(str(tree))} exec make --silent "$@"'
    return ["sh", "-c", entering, "sh", *words]
