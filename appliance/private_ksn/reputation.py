"""What is known of a file or an address: its zone, and the words that go with it. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Zone(IntEnum):
    """The zones of the OpenTIP dialect, in the order in which one wins over another.

    GREY: known, and nothing is said for or against it. GREEN: vouched for. ORANGE is for addresses only.
    """

    GREY = 0
    GREEN = 1
    YELLOW = 2
    ORANGE = 3
    RED = 4

    @property
    def word(self) -> str:
        """As it stands in an answer: "Red"."""
        return _WORDS[self]


_WORDS = {zone: zone.name.capitalize() for zone in Zone}
ZONES = {zone.word.lower(): zone for zone in Zone}


@dataclass(frozen=True, slots=True)
class Reputation:
    """One source's word. first_seen: seconds since the epoch, 0 where it is not known.

    threat: what a detection is called. category: of the address, or of the software. name: of the program.
    source: the feed, or "operator"; it is told to the operator and never in an answer.
    """

    zone: Zone
    threat: str = ""
    category: str = ""
    name: str = ""
    first_seen: int = 0
    source: str = ""


def strongest(words: Iterable[Reputation]) -> Reputation | None:
    """The word that counts among those of several feeds: the worst zone, the first of equals.

    Its empty texts are filled from the others, so that a detection still says what program it is.
    """
    ranked = sorted(words, key=lambda word: -word.zone)
    if len(ranked) < 2:
        return ranked[0] if ranked else None
    best = ranked[0]
    return Reputation(
        best.zone,
        best.threat,
        next((word.category for word in ranked if word.category), ""),
        next((word.name for word in ranked if word.name), ""),
        min((word.first_seen for word in ranked if word.first_seen), default=0),
        best.source,
    )
