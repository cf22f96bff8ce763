"""The port that every engine implements, and what building an engine's signatures yields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import xxhash

from appliance.domain.outcome import Unanswered
from appliance.domain.verdict import Detection
from appliance.scanning.engines.content import Content
from appliance.scanning.result import SignatureSource

MAX_DETECTIONS = 16  # of one engine on one content; rule sets that overlap would say hundreds


class EngineFailure(Exception):
    """The engine could not look at the content. The message is a sentence for people.

    why: how the question ends unless another engine detects something.
    """

    def __init__(self, sentence: str, why: Unanswered = Unanswered.ENGINE_ERROR) -> None:
        """Keep the sentence as the message."""
        super().__init__(sentence)
        self.why = why


class Engine(Protocol):
    """One engine with its signatures, in one process; not shared between threads."""

    @property
    def name(self) -> str:
        """As in Detection.engine and in the table: "yara"."""

    @property
    def version(self) -> str:
        """Of the engine, not of its signatures. "" where only a running service knows."""

    @property
    def unpacks(self) -> bool:
        """True: it is given whole files only, with a descriptor, and does its own unpacking."""

    def scan(self, content: Content) -> list[Detection]:
        """Return what it objects to, at most MAX_DETECTIONS. Raises EngineFailure, MemoryError, OSError."""


@dataclass(frozen=True, slots=True)
class EngineBuild:
    """An engine's signatures, read and packed.

    content: 64-bit fingerprint of what was read: the same content gives the same number, whatever
    the paths and times. sections: named bytes for `load`, names unique over all engines.
    """

    engine: str
    version: str
    content: int
    sources: tuple[SignatureSource, ...] = ()
    sections: Mapping[str, bytes] = field(default_factory=dict)


def fingerprint(contents: Iterable[bytes]) -> int:
    """Fold the digests of files into 64 bits; order and repetition do not matter."""
    return xxhash.xxh3_64_intdigest(b"".join(sorted(set(contents))))
