"""The tree of the rows that take a whole real one: /usr, or a sample of it in a short run.

The first row that asks for it has a first guest scan the tree through an SVM with the embedded
defaults, so that the SVM's store knows every content in it; later rows start an SVM on that store.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.data import USR, read_all, sample
from tests.benchmarks.harness import Bench
from tests.benchmarks.svm import Guest, Svm, summary

SHORT_ONE_IN = 1000


@dataclass(frozen=True, slots=True)
class Scanned:
    """top: the tree. svm: state of an SVM that knows it. guest: state of the guest that scanned it."""

    top: Path
    svm: Path
    guest: Path


def scanned_usr(bench: Bench) -> Scanned:
    """Return the tree and what is known of it."""
    place = bench.shared / "usr"
    top = place / "tree" if bench.short else USR
    scanned = Scanned(top, place / "svm-state", place / "guest")
    if place.exists():
        return scanned
    place.mkdir()
    if bench.short:
        sample(top, SHORT_ONE_IN)
    bench.say(f"  a first guest scans {top}")
    with Svm(place, scanned.svm) as svm:
        ended = Guest(svm.target, scanned.guest).scan(top)
    bench.say(f"  it took {ended.seconds:.0f} s: {summary(ended)}")
    read_all(top)
    return scanned
