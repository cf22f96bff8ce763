"""A story that is told step by step: a line in the log for each, nothing after the first that is not so."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

DEADLINE = 420.0  # for anything that is waited for, emulated and beside others


@dataclass
class Telling:
    """say: a line for whoever looks at the log. last_words: what is told beside a step that failed."""

    say: Callable[[str], None]
    last_words: Callable[[], str] = lambda: ""
    began: float = field(default_factory=time.monotonic)
    broken: str = ""

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """One; add what was seen to what it gives."""
        assert not self.broken, f"not told, for the step before it failed: {self.broken}"
        began, seen = time.monotonic(), list[str]()
        try:
            yield seen
        except BaseException as error:
            self.broken = title
            self.say(f"FAILED after {time.monotonic() - began:.1f} s: {title}: {error}\n{self.last_words()}")
            raise
        now = time.monotonic()
        self.say(f"{now - self.began:6.1f} s  {now - began:5.1f} s  {title}: {'; '.join(seen) or 'so it is'}")


def until(found: Callable[[], bool], what: str, pause: float = 1.0) -> None:
    """Return when it is so. what: the sentence that is told when it is not in time."""
    end = time.monotonic() + DEADLINE
    while not found():
        assert time.monotonic() < end, f"{what}: not within {DEADLINE:g} s"
        time.sleep(pause)
