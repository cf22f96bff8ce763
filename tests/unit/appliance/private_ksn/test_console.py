"""How commands print."""

import io

from appliance.feeds.lines import Progress
from appliance.private_ksn.console import Console, plain, table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_a_feeds_words_do_not_steer_a_terminal() -> None:
    """Escapes become question marks, in tables too."""
    assert plain("a\x1b[2Jb\n") == "a?[2Jb?"
    assert table(("x", "y"), [("\x1b", 1), ("long", 2)]) == ["x     y", "?     1", "long  2"]


def test_progress_is_quiet_in_a_pipe_and_shown_on_a_terminal() -> None:
    """The line is drawn over itself."""
    progress, pipe, terminal = Progress(), io.StringIO(), Terminal()
    Console(pipe, pipe, lambda: 0.0).meter(progress)(5)
    assert pipe.getvalue() == ""
    look = Console(terminal, terminal, lambda: 0.0).meter(progress)
    while not terminal.getvalue():
        look(7)
    assert terminal.getvalue().startswith("\r\x1b[K7 entries")
    Console(pipe, pipe, lambda: 0.0).clear()
    Console(terminal, terminal, lambda: 0.0).clear()
    assert (pipe.getvalue(), terminal.getvalue()[-4:]) == ("", "\r\x1b[K")
