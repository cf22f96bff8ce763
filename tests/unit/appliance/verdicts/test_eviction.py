"""What makes way in a cache that is full."""

import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.eviction import Worth, choose, expendable, worth

CURRENT = 7


@pytest.mark.parametrize(
    ("disposition", "source", "generation", "expected"),
    [
        (Disposition.NOT_DETECTED, Source.ENGINE, CURRENT, Worth.REPLACEABLE),
        (Disposition.NOT_DETECTED, Source.ENGINE, 6, Worth.STALE),
        (Disposition.NOT_DETECTED, Source.LIST, 0, Worth.REPLACEABLE),
        (Disposition.CLEAN, Source.KSN, 0, Worth.REPLACEABLE),
        (Disposition.SUSPICIOUS, Source.ENGINE, 6, Worth.STALE),
        (Disposition.MALICIOUS, Source.ENGINE, 6, Worth.STALE),
        (Disposition.MALICIOUS, Source.ENGINE, CURRENT, Worth.MALICIOUS),
        (Disposition.MALICIOUS, Source.KSN, 0, Worth.MALICIOUS),
    ],
)
def test_what_a_verdict_is_worth(
    disposition: Disposition, source: Source, generation: int, expected: Worth
) -> None:
    """What engines of another generation said answers nobody, whatever it was."""
    assert worth(Verdict(disposition, source, generation, 0), CURRENT) is expected


def test_before_a_generation_is_known_none_is_stale() -> None:
    """A cache that was just opened does not throw away what may count."""
    verdict = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, CURRENT, 0)
    assert worth(verdict, 0) is Worth.REPLACEABLE


def test_one_that_ended_is_worth_least() -> None:
    """Nobody is answered with it."""
    assert worth(None, CURRENT) is Worth.ENDED


WINDOW = {
    b"a": Worth.MALICIOUS,
    b"b": Worth.REPLACEABLE,
    b"c": Worth.STALE,
    b"d": Worth.REPLACEABLE,
    b"e": Worth.ENDED,
    b"f": Worth.REPLACEABLE,
    b"g": Worth.DAMAGED,
    b"h": Worth.MALICIOUS,
}


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (0, b"ceg"),  # what does not count goes anyway
        (3, b"ceg"),
        (4, b"bceg"),
        (6, b"bcdefg"),
        (7, b"abcdefg"),  # nothing else is left
        (99, b"abcdefgh"),
    ],
)
def test_what_counts_least_goes_first(quota: int, expected: bytes) -> None:
    """Detections go last, and only as many as needed; neighbours go together."""
    assert b"".join(choose(WINDOW, quota)) == expected


def test_detections_keep_no_more_than_their_share() -> None:
    """Guests can earn as many as they like: beyond a quarter they go before what others need."""
    window = {bytes([number]): Worth.MALICIOUS if number < 12 else Worth.REPLACEABLE for number in range(16)}
    assert len(expendable(window)) == 12
    assert choose(window, 8) == [bytes([number]) for number in range(8)]
    assert choose(window, 10) == [bytes([number]) for number in (*range(8), 12, 13)]
    assert len(choose(window, 99)) == 16
