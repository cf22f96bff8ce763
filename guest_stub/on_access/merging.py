"""Few events of many: what happens again and again is told of at once, and then by how often it did.

The first of its kind is an event, without a count. What is like it makes another event, with how many these
are, after a second, then after two, and so on up to ten minutes, until it has not happened for ten minutes.
There are only so many events that are like no other: beyond, all of a kind are counted together, but for the
first of a threat and of a content, which nobody is to hide behind thousands of others: there is more room for
these. So whoever opens a bad file ten thousand times a second, or ten thousand bad files, makes some hundred
events.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from guest_stub.svm_link.values import EventKind, GuestEvent

BURST: Final = 200  # events of a kind that may come at once, each for itself
NEW_BURST: Final = 1000  # first events of a threat, beside these, and of a content
MOST_THREATS: Final = (
    1024  # and as many contents, whose first event is remembered, the latest ones, for LONGEST_SECONDS
)
A_SECOND: Final = 0.5  # and so many more of them in each second
MOST_ALIKE: Final = 256  # events that are remembered, since they may happen again
FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 600.0
TICK_SECONDS: Final = 1.0
_MORE: Final = "one of many: "
_BY_REASON: Final = frozenset({EventKind.FALLBACK, EventKind.OVERFLOW})
_COMM_BYTES: Final = 64  # the kernel's names of processes have 15


class Happening(NamedTuple):
    """Something that happened just now: the fields of a GuestEvent. pid: whoever did it, 0 for nobody."""

    kind: EventKind
    action: str = ""
    path: bytes = b""
    sha256: bytes = b""
    threat: str = ""
    text: str = ""
    pid: int = 0

    @property
    def name(self) -> object:
        """The same for those that are alike: of the same file, or for the same reason."""
        if self.kind in _BY_REASON or not (self.sha256 or self.path):
            return self.kind, self.action, self.text
        return self.kind, self.action, self.sha256, self.path

    @property
    def news(self) -> tuple[object, ...]:
        """What may be new about it: the threat, and, as many contents share the name of one, its content."""
        if not self.threat:
            return ()
        return (self.kind, self.action, self.threat), (self.kind, self.action, self.threat, self.sha256)


@dataclass(slots=True)
class _Alike:
    """What may happen again, or did. first: the event. since: it happened, or was told of.

    count: how often it happened since it was told of; after `seconds` that is another event.
    """

    first: GuestEvent
    since: float
    seconds: float = FIRST_SECONDS
    count: int = 0

    def is_due(self, now: float) -> bool:
        """Whether it is time to tell of it."""
        return self.count > 0 and now - self.since >= self.seconds

    def is_over(self, now: float) -> bool:
        """Whether it has not happened for so long that the next time it is news."""
        return not self.count and now - self.since >= LONGEST_SECONDS


class Merging:
    """Serves one event loop; it has a timer only while something is counted."""

    def __init__(
        self,
        keep: Callable[[GuestEvent], None],
        is_crowded: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        proc: Path = Path("/proc"),
    ) -> None:
        """keep: takes each event, without a number. is_crowded: whether to merge all that can be."""
        self._keep = keep
        self._is_crowded = is_crowded
        self._clock = clock
        self._proc = proc
        self._alike: dict[object, _Alike] = {}
        self._others: dict[object, _Alike] = {}  # by kind and action: events that are like no other
        # When the first events of threats, and of contents, were, the latest last.
        self._told: tuple[dict[object, float], dict[object, float]] = ({}, {})
        # By kind, or by which of these is new: how many more there may be, and when that was.
        self._left: dict[EventKind | str, tuple[float, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, happening: Happening) -> None:
        """Make it an event, or part of one."""
        now = self._clock()
        alike = self._alike.get(happening.name)
        if alike is not None and not alike.is_over(now):
            alike.count += 1
        elif self._may(happening.kind) and self._has_place(happening.name):
            event = self._event(happening)
            self._alike[happening.name] = _Alike(event, now)
            self._note_news(happening, now)
            self._keep(event)
            return
        elif self._is_news(happening, now):
            self._note_news(happening, now)
            self._keep(self._event(happening))
            return
        else:
            self._merge(happening, now)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def close(self) -> None:
        """Make events of what was counted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for alike in (*self._alike.values(), *self._others.values()):
            if alike.count:
                self._tell(alike, 0.0)
        self._alike.clear()
        self._others.clear()

    def _has_place(self, name: object) -> bool:
        """Whether one more can be remembered; one that is not counted now is forgotten for it."""
        if len(self._alike) >= MOST_ALIKE and name not in self._alike:
            quiet = next((name for name, alike in self._alike.items() if not alike.count), None)
            if quiet is None:
                return False
            del self._alike[quiet]
        return True

    def _may(self, kind: EventKind) -> bool:
        """Whether there may be one more event of a kind, which it then counts as."""
        return not self._is_crowded() and self._spend(kind, BURST)

    def _spend(self, kind: EventKind | str, burst: int) -> bool:
        """Whether one is left of so many that may come at once; it is gone then."""
        now = self._clock()
        left, since = self._left.get(kind, (float(burst), now))
        left = min(float(burst), left + (now - since) * A_SECOND)
        may = left >= 1
        self._left[kind] = (left - may, now)
        return may

    def _is_news(self, happening: Happening, now: float) -> bool:
        """Whether a threat, or a content, may have its first event now, which it then counts as."""
        for name, told, what in zip(happening.news, self._told, ("threat", "content"), strict=False):
            at = told.get(name)
            if at is None or now - at >= LONGEST_SECONDS:
                return self._spend(what, NEW_BURST)
        return False

    def _note_news(self, happening: Happening, now: float) -> None:
        for name, told in zip(happening.news, self._told, strict=False):
            told.pop(name, None)
            told[name] = now
            if len(told) > MOST_THREATS:
                del told[next(iter(told))]

    def _merge(self, happening: Happening, now: float) -> None:
        """Count it with all of its kind."""
        name = happening.kind, happening.action
        other = self._others.get(name)
        if other is None or other.is_over(now):
            event = self._event(happening._replace(text=_MORE + happening.text))
            other = self._others[name] = _Alike(event, now)
        other.count += 1

    def _event(self, happening: Happening) -> GuestEvent:
        kind, action, path, sha256, threat, text, pid = happening
        process = self._process(pid) if pid else ""
        return GuestEvent(0, kind, time.time(), sha256, path, process, threat, action, text)

    def _process(self, pid: int) -> str:
        """What a process calls itself, "" for one that is gone."""
        try:
            with (self._proc / str(pid) / "comm").open("rb", buffering=0) as comm:
                return (comm.read(_COMM_BYTES) or b"").rstrip(b"\n").decode("utf-8", "replace")
        except OSError:
            return ""

    def _tick(self) -> None:
        """Tell of what was counted for long enough."""
        self._timer, now = None, self._clock()
        for alike in self._alike.values():
            if alike.is_due(now) and self._may(alike.first.kind):
                self._tell(alike, now)
        for other in self._others.values():
            if other.is_due(now):
                self._tell(other, now)
        if any(alike.count for alike in (*self._alike.values(), *self._others.values())):
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tell(self, alike: _Alike, now: float) -> None:
        self._keep(replace(alike.first, at=time.time(), count=alike.count))
        alike.seconds = min(LONGEST_SECONDS, 2 * alike.seconds)
        alike.since, alike.count = now, 0
