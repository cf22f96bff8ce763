"""What a command of `private-ksn` is given, and how it prints."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from appliance.feeds.lines import Progress
from appliance.private_ksn.progress import progress_line

DONE = 0
NO = 1  # the answer is no: nothing is known
FAILED = 2  # the command could not do its work
SHOW_EVERY_SECONDS = 0.2


class CommandError(Exception):
    """A command cannot do its work. The message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Console:
    """The outside of a command. clock: seconds since the epoch."""

    out: TextIO
    err: TextIO
    clock: Callable[[], float]

    def say(self, *lines: str) -> None:
        """Print lines to the output."""
        for line in lines:
            print(line, file=self.out)

    def say_json(self, value: Any) -> None:
        """Print one JSON document."""
        self.say(json.dumps(value, indent=2))

    def complain(self, sentence: str) -> None:
        """Print one line to the errors."""
        print(f"private-ksn: {plain(sentence)}", file=self.err)

    def clear(self) -> None:
        """Take the progress line away, where there is one."""
        if self.err.isatty():
            print("\r\x1b[K", end="", file=self.err)

    def meter(self, progress: Progress) -> Callable[[int], None]:
        """What shows how far an import is, on a terminal; in a pipe it shows nothing."""
        if not self.err.isatty():
            return lambda _entries: None
        began = shown = time.monotonic()

        def look(entries: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= SHOW_EVERY_SECONDS:
                shown = now
                line = progress_line(entries, progress.done, progress.total, now - began)
                print(f"\r\x1b[K{line}", end="", file=self.err, flush=True)

        return look


def plain(text: str) -> str:
    """The text without anything that could steer a terminal: some of it is a feed's words."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Aligned lines; the last column is not filled up."""
    body = [list(head), *([plain(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in body]
