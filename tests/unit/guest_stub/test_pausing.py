"""Tests of the gate where threads of a scan wait."""

from collections.abc import Callable
from threading import Thread

import pytest

from guest_stub.pausing import Pause

DEADLINE = 30.0


def waiting(pause: Pause) -> Thread:
    """A thread that has come to the gate, or gone through."""
    thread = Thread(target=pause.wait, daemon=True)
    thread.start()
    return thread


def test_nobody_is_held_at_first() -> None:
    """Nor by a pause that has ended."""
    pause = Pause()
    assert not pause.holds
    pause.wait()
    pause.begin()
    assert pause.holds
    pause.end()
    pause.wait()


@pytest.mark.parametrize("let_go", [Pause.end, Pause.lift])
def test_who_is_held_goes_on(let_go: Callable[[Pause], None]) -> None:
    """When the pause ends, and when the scan does."""
    pause = Pause()
    pause.begin()
    thread = waiting(pause)
    thread.join(0.05)
    assert thread.is_alive()
    let_go(pause)
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_who_ends_is_never_held_again() -> None:
    """A slot that is taken back from a scan which is over holds none of its threads."""
    pause = Pause()
    pause.lift()
    pause.begin()
    assert not pause.holds
