"""What a format gives: entries and bad lines, one after the other, and how far it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from appliance.feeds.lines import Bad, Progress
from appliance.private_ksn.reputation import Reputation, Zone


class Found(NamedTuple):
    """One entry. keys: of the same thing; the first is the one it is kept under."""

    keys: tuple[bytes, ...]
    reputation: Reputation


@dataclass(frozen=True, slots=True)
class Words:
    """What the command line says of every entry that the source itself says nothing of."""

    zone: Zone
    threat: str = ""
    category: str = ""


class Form(Protocol):
    """Reads one format. Raises SourceError and OSError."""

    def __call__(self, path: Path, words: Words, progress: Progress) -> Iterator[Found | Bad]:
        """Every entry, or what was wrong in its place."""
