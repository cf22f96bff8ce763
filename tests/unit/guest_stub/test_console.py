"""Tests of where a scan's lines go."""

import fcntl
import io
import os
import sys
import termios
import threading
from pathlib import Path

import pytest

from guest_stub import console
from guest_stub.console import Console, printable

DEADLINE = 30.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/usr/bin/env", "/usr/bin/env"),
        ("/tmp/ä 漢字", "/tmp/ä 漢字"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        ("caf\udce9", "caf\\xe9"),
        ("\x9b31m", "\\x9b31m"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("back\\x1bslash", "back\\\\x1bslash"),
    ],
)
def test_nothing_that_acts_on_a_terminal_gets_there(text: str, shown: str) -> None:
    """Controls, marks and lone bytes are escaped, and no two names look the same."""
    assert printable(text) == shown
    assert printable(text).isprintable()


def test_lines_come_out_in_order() -> None:
    """Results go to the one stream, notes to the other."""
    out, err = io.StringIO(), io.StringIO()
    lines = Console(out, err, progress=False, broken=print)
    for number in range(100):
        lines.line(str(number))
    lines.note("note")
    lines.draw("never seen")
    lines.close()
    assert out.getvalue().split() == [str(number) for number in range(100)]
    assert err.getvalue() == "note\n"


def test_the_progress_line_makes_way() -> None:
    """It is cleared before anything else is written, and at the end."""
    both = io.StringIO()
    lines = Console(both, both, progress=True, broken=print)
    lines.draw("10 files")
    lines.draw("20 files")
    lines.line("/a: Eicar FOUND")
    lines.draw("30 files")
    lines.close()
    clear = "\r\x1b[K"
    assert both.getvalue() == f"{clear}10 files{clear}20 files{clear}/a: Eicar FOUND\n{clear}30 files{clear}"


def test_a_reader_that_went_away_is_said_once() -> None:
    """Later lines are dropped, and closing does not fail."""
    reading, writing = os.pipe()
    os.close(reading)
    said: list[str] = []
    with os.fdopen(writing, "w") as out:
        lines = Console(out, io.StringIO(), progress=False, broken=said.append)
        for _ in range(5):
            lines.line("x" * 100_000)
        lines.close()
        assert said == ["results cannot be written any more: Broken pipe"]
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def test_a_full_disk_is_said() -> None:
    """A device without room is a reason to end the scan."""
    said: list[str] = []
    with Path("/dev/full").open("w") as out:
        lines = Console(out, io.StringIO(), progress=False, broken=said.append)
        lines.line("x")
        lines.close()
        assert said == ["results cannot be written any more: No space left on device"]
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def test_a_slow_reader_holds_up_who_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walking thread waits when too many lines do; others never."""
    monkeypatch.setattr(console, "MAX_WAITING_LINES", 3)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out, os.fdopen(reading, "rb") as reader:
        lines = Console(out, io.StringIO(), progress=False, broken=print)
        for _ in range(10):
            lines.line("x" * 100_000)  # more than a pipe holds
        waiting = threading.Thread(target=lines.line, args=("last", True))
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        text = b""
        while not text.endswith(b"last\n"):
            text += reader.read1()
        waiting.join(DEADLINE)
        assert not waiting.is_alive()
        lines.close()


def test_closing_does_not_wait_for_a_reader_that_reads_no_more() -> None:
    """With a time limit it returns, whatever waits."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out, os.fdopen(reading, "rb") as reader:
        lines = Console(out, io.StringIO(), progress=False, broken=print)
        lines.line("x" * 1_000_000)
        lines.close(0.05)
        in_the_pipe = fcntl.ioctl(reader, termios.FIONREAD, bytes(4))
        assert int.from_bytes(in_the_pipe, sys.byteorder) < 1_000_000
        text = b""
        while not text.endswith(b"\n"):
            text += reader.read1()
        lines.close(DEADLINE)
    assert text == b"x" * 1_000_000 + b"\n"
