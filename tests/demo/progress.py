"""One line for each guest: rewritten in place on a terminal, now and then in a pipe."""

from collections.abc import Sequence
from typing import TextIO

_PIPE_SECONDS = 10.0
_BAR = 24


def megabytes(count: float) -> str:
    """Bytes as people read them in a table: "12.3 MB"."""
    return f"{count / 1e6:,.1f} MB"


class Progress:
    """Shows how far the guests are."""

    def __init__(self, out: TextIO, files: int) -> None:
        """files: that each guest has to look at."""
        self._out = out
        self._files = max(files, 1)
        self._drawn = 0
        self._last = 0.0

    def show(self, guests: Sequence[tuple[str, int, int, bool]], seconds: float) -> None:
        """Draw where the guests are, `seconds` after the start.

        guests: of each its name, digests asked, bytes uploaded, and whether it is done.
        """
        if self._out.isatty():
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            self._out.write(up + "".join(f"\x1b[2K{self._line(*guest)}\n" for guest in guests))
            self._drawn = len(guests)
        elif seconds - self._last >= _PIPE_SECONDS or all(done for *_, done in guests):
            self._last = seconds
            told = ", ".join(f"{name} {self._percent(asked, done)}" for name, asked, _, done in guests)
            self._out.write(f"  after {seconds:4.0f} s: {told}\n")
        self._out.flush()

    def _percent(self, asked: int, done: bool) -> str:
        return "done" if done else f"{min(asked / self._files, 0.99):.0%}"

    def _line(self, name: str, asked: int, uploaded: int, done: bool) -> str:
        full = _BAR if done else min(int(asked / self._files * _BAR), _BAR - 1)
        bar = "#" * full + "." * (_BAR - full)
        return (
            f"  {name}  [{bar}] {self._percent(asked, done):>4}"
            f"  asked {asked:>7,}  sent {megabytes(uploaded):>10}"
        )
