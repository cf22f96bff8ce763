"""The administrator's word on digests, as it is in force: it wins over every verdict."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.verdict import Answer, Verdict

_REMEMBERED = 16_384  # overrides taken back, for guests that were away; others heal by valid_for


class Overrides:
    """Those in force, by digest, and which ended lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self._clock = clock
        self._all: dict[bytes, Override] = {}
        self._ends: list[tuple[int, bytes]] = []  # heap: when an override ends, if it was not replaced before
        self._taken_back: deque[bytes] = deque(maxlen=_REMEMBERED)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._all)

    def load(self, overrides: dict[bytes, Override]) -> None:
        """Take over those that state holds."""
        self._all = dict(overrides)
        ends = [(override.expires_at, digest) for digest, override in overrides.items()]
        self._ends = [end for end in ends if end[0]]
        heapq.heapify(self._ends)

    def put(self, digest: bytes, override: Override | None) -> None:
        """Put one in force, or (None) end it."""
        if override is None:
            self._all.pop(digest, None)
            self._taken_back.append(digest)
            return
        self._all[digest] = override
        if override.expires_at:
            heapq.heappush(self._ends, (override.expires_at, digest))

    def restore(self, digest: bytes) -> None:
        """Take over that one was taken back, before a restart."""
        self._taken_back.append(digest)

    def end(self) -> list[bytes]:
        """Drop those whose time is over; the digests, of which guests may keep answers."""
        now, ended = self._clock(), []
        while self._ends and self._ends[0][0] <= now:
            _, digest = heapq.heappop(self._ends)
            override = self._all.get(digest)
            if override is not None and not override.in_force(now):
                self.put(digest, None)
                ended.append(digest)
        return ended

    def of(self, digest: bytes) -> Override | None:
        """The one in force for a digest."""
        override = self._all.get(digest)
        return override if override is not None and override.in_force(self._clock()) else None

    def answer(self, digest: bytes) -> Verdict | None:
        """What the one in force for a digest says."""
        override = self.of(digest)
        return None if override is None else overriding(override)

    def digests(self) -> set[bytes]:
        """Those of which a guest may keep an answer that an administrator has overruled since."""
        return {*self._all, *self._taken_back}

    def first_end(self, answers: Iterable[Answer]) -> float | None:
        """How many seconds until the first override among the answers ends; None where none does."""
        ends = [
            answer.expires_at
            for answer in answers
            if isinstance(answer, Verdict) and answer.source is Source.OVERRIDE and answer.expires_at
        ]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def apply(self, digests: Sequence[bytes], outcomes: list[int], notable: dict[int, Verdict]) -> int:
        """Write what they say over what is known of a batch; of how many digests."""
        overridden = self._all.keys() & set(digests)
        count = 0
        for index, digest in enumerate(digests) if overridden else ():
            verdict = self.answer(digest) if digest in overridden else None
            if verdict is not None:
                notable[index] = verdict
                outcomes[index] = int(verdict.disposition)
                count += 1
        return count


def overriding(override: Override) -> Verdict:
    """What an override says of its digest."""
    if override.allow:
        return Verdict(Disposition.CLEAN, Source.OVERRIDE, 0, override.set_at, override.expires_at)
    return Verdict(
        Disposition.MALICIOUS,
        Source.OVERRIDE,
        0,
        override.set_at,
        override.expires_at,
        threat="Blocked.By.Administrator",
        engine="override",
    )
