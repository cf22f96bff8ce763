"""Where a scan's lines go: standard output for results, standard error for notes and the progress line.

One thread writes, so that no two lines get mixed and a slow reader does not hold up the SVM's streams. The
walking thread waits when too many lines do; that bounds the others, who can only report what it found.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Condition, Thread
from typing import TextIO

MAX_WAITING_LINES = 10_000
_CLEAR_LINE = "\r\x1b[K"


def printable(text: str) -> str:
    """The text with everything escaped that could act on a terminal or hide: controls, lone surrogates,
    bidirectional marks, invisible characters. A backslash is doubled, so that no two names look the same.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Console:
    """Lines out, in order.

    why_broken: a sentence once results cannot be written any more (the reader went away, the disk is
    full), else ""; later lines are dropped.
    """

    def __init__(self, out: TextIO, err: TextIO, progress: bool, broken: Callable[[str], None]) -> None:
        """progress: whether `err` is a terminal that a line may be drawn on.

        broken: called once, in the writing thread, with why_broken.
        """
        self._out = out
        self._err = err
        self._progress = progress
        self._broken = broken
        self.why_broken = ""
        self._drawn = False
        self._queue: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._waiting = 0
        self._room = Condition()
        self._thread = Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def line(self, text: str, wait: bool = False) -> None:
        """Write a result line. wait: hold the calling thread while too many lines wait."""
        with self._room:
            if wait:
                self._room.wait_for(lambda: self._waiting < MAX_WAITING_LINES)
            self._waiting += 1
        self._queue.put(("out", text))

    def note(self, text: str) -> None:
        """Write a line for people to standard error."""
        self._queue.put(("err", text))

    def draw(self, text: str) -> None:
        """Show the progress line, in place of the last one."""
        if self._progress:
            self._queue.put(("draw", text))

    def close(self, seconds: float | None = None) -> None:
        """Write what waits, for at most `seconds` (None: as long as it takes)."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            kind, text = item
            if kind == "draw":
                self._show(text)
            elif kind == "err":
                self._show("")
                self._say(text + "\n")
            else:
                self._write(text)
        self._show("")
        self._flush()

    def _write(self, text: str) -> None:
        with self._room:
            self._waiting -= 1
            self._room.notify_all()
        self._show("")
        if self.why_broken:
            return
        try:
            self._out.write(text + "\n")
        except OSError as problem:
            self._give_up(problem)
        if self._queue.empty():
            self._flush()

    def _flush(self) -> None:
        if not self.why_broken:
            try:
                self._out.flush()
            except OSError as problem:
                self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        self.why_broken = f"results cannot be written any more: {problem.strerror or problem}"
        if self._out is sys.stdout:  # the interpreter's own flush at its end must not fail again
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
        self._broken(self.why_broken)

    def _show(self, text: str) -> None:
        if text or self._drawn:
            self._say(_CLEAR_LINE + text)
        self._drawn = bool(text)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it; that is no reason to end a scan
            self._err.write(text)
            self._err.flush()
