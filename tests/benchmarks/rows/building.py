"""What protection costs who builds a C project.

build-block-exec, build-block-open: seconds of `make` of libsodium, as many jobs as there are CPUs, under
`guest-stub run` in that mode; built before once, so that its contents are known. Theirs: the same unwatched.
Sources, objects, compiler, shell, libraries and headers all lie on file systems that are watched. The SVM
works on the same CPUs.
build-block-exec-first, build-block-open-first: the first time, with an SVM that knows nothing.
build-block-exec-changed, build-block-open-changed: with object files that were never there before, which all
go to the SVM and are scanned.
"""

from tests.benchmarks.building import build, clean, source
from tests.benchmarks.guarded import TOOLS, Contents, Guarded, Machine, Unguarded
from tests.benchmarks.harness import Bench, Figure, Rounds, Target
from tests.benchmarks.svm import Svm

ROUNDS, CHANGED_ROUNDS = 5, 3


def block_exec(bench: Bench) -> list[Figure]:
    """Measure the three figures of block-exec."""
    return _run(bench, "block-exec", Target(1.1))


def block_open(bench: Bench) -> list[Figure]:
    """Measure the three figures of block-open."""
    return _run(bench, "block-open", Target(1.25))


def _run(bench: Bench, mode: str, target: Target) -> list[Figure]:
    contents = Contents(source(bench), over=TOOLS)
    with (
        Svm(bench.scratch) as svm,
        Guarded(bench.scratch / "guarded", svm.target, mode, contents) as guarded,
        Unguarded(bench.scratch / "unguarded", contents) as unguarded,
    ):

        def rounds(count: int, salted: bool = False) -> Rounds:
            salts = iter(range(1, 2 * count + 1))

            def built(machine: Machine) -> float:
                seconds = build(machine, few=bench.short, salt=next(salts) if salted else None)
                clean(machine)
                return seconds

            return bench.alternate(count, lambda: built(guarded), lambda: built(unguarded))

        first = rounds(1)
        again = rounds(bench.rounds(ROUNDS))
        changed = rounds(bench.rounds(CHANGED_ROUNDS), salted=True)
    name = f"build-{mode}"
    return [
        Figure(f"{name}-first", "s", first, note="once, by an SVM that knows nothing"),
        Figure(name, "s", again, target),
        Figure(f"{name}-changed", "s", changed, note="every object file is new"),
    ]
