"""What the SVM acknowledged, as the harness heard it: the only thing that anything is compared with."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.broken import Broken
from tests.chaos.contents import VERDICTS, Content, Kind, allowed
from tests.chaos.page import Page

RECENT = 60  # contents that guests ask about again


@dataclass(frozen=True)
class Change:
    """A change by an administrator. what: an override's digest and word, or a policy's setting and value."""

    what: str
    value: str


@dataclass
class Book:
    """Everything that was heard. changes: in the order in which they were acknowledged.

    pending: the one that was asked for and not yet answered. sent, kept: numbers of events by journal.
    disclosed: what KSN was asked about. pages: by tenant.
    """

    path: Path
    kinds: dict[bytes, Kind] = field(default_factory=dict)
    recent: list[Content] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    pending: Change | None = None
    sent: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    kept: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    disclosed: set[str] = field(default_factory=set)
    answers: int = 0
    pages: dict[str, Page] = field(default_factory=dict)

    def page(self, tenant: str) -> Page:
        """What was acknowledged of a tenant's tokens, guests and certificates."""
        return self.pages.setdefault(tenant, Page(self.write))

    def write(self, what: str, **fields: Any) -> None:
        """Write a line into the harness's own log, where the kernel has it when this returns."""
        with self.path.open("a") as file:
            file.write(json.dumps({"what": what, **fields}) + "\n")

    def holds(self, content: Content) -> None:
        """Note that a guest holds a content, before it asks."""
        self.kinds[content.digest] = content.kind
        self.recent = [*self.recent[-RECENT:], content]

    def told(self, digest: bytes, outcome: int) -> None:
        """Hold what a guest was told against the truth."""
        self.answers += 1
        if outcome in VERDICTS and outcome not in allowed(self.kinds[digest]):
            raise Broken(f"{digest.hex()} is {self.kinds[digest]} and a guest was told {outcome}")

    def asks(self, change: Change) -> None:
        """Note a change that is asked for now."""
        self.pending = change
        self.write("asked", change=[change.what, change.value])

    def acknowledged(self) -> None:
        """Note that it was acknowledged."""
        assert self.pending is not None
        self.write("acknowledged", change=[self.pending.what, self.pending.value])
        self.changes.append(self.pending)
        self.pending = None

    def events_kept(self, journal: str, number: int) -> None:
        """Note that a guest was told that its events are kept, up to a number."""
        self.write("events kept", journal=journal, number=number)
        self.kept[journal] = max(self.kept[journal], number)

    def settle(self, found: list[Change]) -> None:
        """Hold all changes that are on the disk against those that were acknowledged.

        One that was asked for and not answered may be there or not, and is known from then on.
        """
        possible = [self.changes, [*self.changes, self.pending]] if self.pending else [self.changes]
        if found not in possible:
            lost = [change for change in self.changes if change not in found]
            raise Broken(
                f"{len(found)} changes are there, {len(self.changes)} were acknowledged; lost: {lost[:3]}"
            )
        self.changes, self.pending = found, None

    def in_force(self) -> dict[bytes, str]:
        """The override of each digest that has one."""
        last = {change.what: change.value for change in self.changes if not change.what.startswith("policy")}
        return {bytes.fromhex(what): value for what, value in last.items()}
