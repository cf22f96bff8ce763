"""What a row hands back, and how its rounds are taken: both sides in turn, medians at the end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median


class BenchError(Exception):
    """A row cannot be measured here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach: its ratio to the other side, or, with absolute, our value itself."""

    bound: float
    at_least: bool = False
    absolute: bool = False

    def met_by(self, value: float) -> bool:
        """Whether `value`, rounded as it is printed, reaches the bound."""
        shown = round(value, 2)
        return shown >= self.bound if self.at_least else shown <= self.bound

    def __str__(self) -> str:
        """As it stands in the table: ">= 0.8"."""
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Rounds:
    """One number for each round of each side, in the order they were taken. theirs: empty where none."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...] = ()

    @property
    def our_median(self) -> float:
        """The middle of our rounds."""
        return median(self.ours)

    @property
    def their_median(self) -> float | None:
        """The middle of their rounds, or None where there is no other side."""
        return median(self.theirs) if self.theirs else None


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    unit: of both sides' numbers. target: None where the number is for information. note: what a reader must
    know beside it.
    """

    name: str
    unit: str
    rounds: Rounds
    target: Target | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Our median by theirs, or None where there is no other side, or too little of it to be measured."""
        theirs = self.rounds.their_median
        return self.rounds.our_median / theirs if theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        value = self.rounds.our_median if self.target.absolute else self.ratio
        return value is not None and self.target.met_by(value)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a row is given.

    short: small data, fewest rounds: shows that the row runs, not what it measures.
    scratch: an empty directory of this row's own, removed after it. shared: one of the whole run's,
    for data that several rows make once. say: a progress line for people.
    """

    short: bool
    scratch: Path
    shared: Path
    say: Callable[[str], None] = field(default=print)

    def rounds(self, whole: int) -> int:
        """How many rounds: `whole`, or one in a short run."""
        return 1 if self.short else whole

    def alternate(self, count: int, ours: Callable[[], float], theirs: Callable[[], float]) -> Rounds:
        """Take `count` rounds of both sides, ours first in the even ones, so that drift hits both alike."""
        taken: tuple[list[float], list[float]] = ([], [])
        for number in range(count):
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                taken[side].append((ours, theirs)[side]())
            self.say(f"  round {number + 1} of {count}: ours {taken[0][-1]:.5g}, theirs {taken[1][-1]:.5g}")
        return Rounds(tuple(taken[0]), tuple(taken[1]))


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the table of rows: `run` measures one figure or several that share their data."""

    name: str
    run: Callable[[Bench], list[Figure]]
