"""The administrators' words on digests, as they are in force: they win over every verdict.

A word is the provider's, whose scope is public and which counts for everybody, or one tenant's. Where both
speak of a digest, the provider's counts.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from appliance.domain.guest import PUBLIC_SCOPE
from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.verdict import Answer, Verdict

Key = tuple[int, bytes]  # scope and digest

_REMEMBERED = 16_384  # overrides taken back, for guests that were away; others heal by valid_for


class Overrides:
    """Those in force, by scope and digest, and which ended lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """clock: seconds since the epoch."""
        self._clock = clock
        self._all: dict[int, dict[bytes, Override]] = {}  # no scope is empty
        self._ends: list[tuple[int, Key]] = []  # heap: when an override ends, if it was not replaced before
        self._taken_back: deque[Key] = deque(maxlen=_REMEMBERED)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._all)

    def load(self, overrides: Mapping[Key, Override]) -> None:
        """Take over those that state holds."""
        self._all, self._ends = {}, []
        for (scope, digest), override in overrides.items():
            self.put(scope, digest, override)

    def put(self, scope: int, digest: bytes, override: Override | None) -> None:
        """Put one in force, or (None) end it."""
        if override is None:
            mine = self._all.get(scope, {})
            mine.pop(digest, None)
            if not mine:
                self._all.pop(scope, None)
            self._taken_back.append((scope, digest))
            return
        self._all.setdefault(scope, {})[digest] = override
        if override.expires_at:
            heapq.heappush(self._ends, (override.expires_at, (scope, digest)))

    def restore(self, digest: bytes) -> None:
        """Take over that one of the provider's was taken back, before a restart."""
        self._taken_back.append((PUBLIC_SCOPE, digest))

    def end(self) -> list[Key]:
        """Drop those whose time is over; of their digests guests may keep answers."""
        now, ended = self._clock(), []
        while self._ends and self._ends[0][0] <= now:
            _, (scope, digest) = heapq.heappop(self._ends)
            override = self._all.get(scope, {}).get(digest)
            if override is not None and not override.in_force(now):
                self.put(scope, digest, None)
                ended.append((scope, digest))
        return ended

    def set_in(self, scope: int, digest: bytes) -> Override | None:
        """The one in force that was set for this very scope, whether or not it counts there."""
        override = self._all.get(scope, {}).get(digest)
        return override if override is not None and override.in_force(self._clock()) else None

    def of(self, scope: int, digest: bytes) -> Override | None:
        """The one that counts in a scope for a digest: the provider's before the tenant's."""
        return self.set_in(PUBLIC_SCOPE, digest) or self.set_in(scope, digest)

    def answer(self, scope: int, digest: bytes) -> Verdict | None:
        """What the one that counts says."""
        override = self.of(scope, digest)
        return None if override is None else overriding(override)

    def digests(self, scope: int) -> set[bytes]:
        """Those of which a guest of a scope may keep an answer that an administrator has overruled since."""
        seen_in = {PUBLIC_SCOPE, scope}
        taken_back = {digest for where, digest in self._taken_back if where in seen_in}
        return taken_back.union(*(self._all.get(where, ()) for where in seen_in))

    def first_end(self, answers: Iterable[Answer]) -> float | None:
        """How many seconds until the first override among the answers ends; None where none does."""
        ends = [
            answer.expires_at
            for answer in answers
            if isinstance(answer, Verdict) and answer.source is Source.OVERRIDE and answer.expires_at
        ]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def apply(
        self, scope: int, digests: Sequence[bytes], outcomes: list[int], notable: dict[int, Verdict]
    ) -> int:
        """Write what they say over what is known of a batch in a scope; of how many digests."""
        asked = set(digests)
        overridden = {
            digest
            for where in (PUBLIC_SCOPE, scope)
            if (mine := self._all.get(where))
            for digest in mine.keys() & asked
        }
        count = 0
        for index, digest in enumerate(digests) if overridden else ():
            verdict = self.answer(scope, digest) if digest in overridden else None
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
