"""Tests of appliance/scanning/engines/engine.py."""

from appliance.domain.outcome import Unanswered
from appliance.scanning.engines.engine import EngineFailure, fingerprint


def test_a_failure_is_an_engine_error_unless_it_says_otherwise() -> None:
    """The sentence is the message, and the reason is named."""
    assert str(EngineFailure("no clamd")) == "no clamd"
    assert EngineFailure("no clamd").why is Unanswered.ENGINE_ERROR
    assert EngineFailure("slow", Unanswered.TIMED_OUT).why is Unanswered.TIMED_OUT


def test_a_fingerprint_is_of_the_contents_alone() -> None:
    """Order and repetition do not matter; another content, or one less, gives another number."""
    assert fingerprint([b"a" * 16, b"b" * 16]) == fingerprint([b"b" * 16, b"a" * 16, b"a" * 16])
    assert len({fingerprint([]), fingerprint([b"a" * 16]), fingerprint([b"a" * 16, b"b" * 16])}) == 3
