"""The lines of an import that could not be taken: the first are shown, and more are written to a file."""

from collections.abc import Iterator
from typing import TextIO

from appliance.feeds.lines import Bad
from appliance.private_ksn.console import Console, plain
from appliance.private_ksn.sources import Found

MOST_SHOWN = 20
MOST_WRITTEN = 10_000


class BadLines:
    """Notes them as they pass by. file: where they are written, None for nowhere."""

    def __init__(self, file: TextIO | None) -> None:
        self.count = 0
        self._file = file
        self._first: list[Bad] = []

    def of(self, source: Iterator[Found | Bad]) -> Iterator[Found | Bad]:
        """Hand on what a source gives. Raises as the source, and OSError where the file cannot be written."""
        for item in source:
            if isinstance(item, Bad):
                self._note(item)
            yield item

    def tell(self, console: Console) -> None:
        """Show the first of them, each with its number and why, and say where more are."""
        for bad in self._first:
            console.complain(f"{bad.where}: {bad.why}")
        if not self.count:
            return
        shown = len(self._first)
        said = f"{self.count:,} were not taken"
        if self._file is not None:
            said += f"; {self._file.name} names the first {min(self.count, MOST_WRITTEN):,}"
        elif self.count > shown:
            said += f"; the first {shown} are named above, and --bad-lines FILE names {MOST_WRITTEN:,}"
        console.complain(said)

    def _note(self, bad: Bad) -> None:
        self.count += 1
        if self.count <= MOST_SHOWN:
            self._first.append(bad)
        if self._file is not None and self.count <= MOST_WRITTEN:
            self._file.write(plain(f"{bad.where}: {bad.why}") + "\n")
