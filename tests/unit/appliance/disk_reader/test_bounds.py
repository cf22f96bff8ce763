"""How long a step may take."""

import time

import pytest

from appliance.disk_reader.bounds import Patience, TookTooLong, why


def test_a_step_without_an_end_is_ended() -> None:
    """Also one that catches nothing and calls nothing."""

    def endless() -> None:
        with Patience(0.05).for_step():
            while time.monotonic():
                pass

    with pytest.raises(TookTooLong):
        endless()


def test_what_is_said_is_one_short_line() -> None:
    """Whatever a parser raises."""
    assert why(ValueError("a\n b")) == "a b"
    assert why(KeyError()) == "KeyError"
    assert why(OSError(5, "Input/output error")) == "Input/output error"
    assert why(EOFError()) == "it ends too early"
    assert len(why(ValueError("x" * 10_000))) == 300
