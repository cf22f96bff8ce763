"""Records, decoded once."""

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.decoded import MOST, Decoded, is_damaged
from appliance.verdicts.record import HOUR, encode

NOW = 1000 * HOUR
GOOD = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 1, NOW)


def test_equal_records_are_one_verdict() -> None:
    """The second time nothing is decoded: the same object comes back. No record is no verdict."""
    decoded = Decoded(NOW)
    assert decoded[encode(GOOD)] == GOOD
    assert decoded[encode(GOOD)] is decoded[bytes(bytearray(encode(GOOD)))]
    assert decoded[None] is None


def test_a_verdict_ends_with_its_hour() -> None:
    """At expires_at it counts no more, before it does."""
    record = encode(Verdict(Disposition.CLEAN, Source.KSN, 0, NOW, expires_at=NOW + HOUR))
    assert Decoded(NOW + HOUR - 1)[record] is not None
    assert Decoded(NOW + HOUR)[record] is None


def test_a_damaged_record_is_noticed_each_time() -> None:
    """It is never remembered as if it were a verdict that ended."""
    decoded = Decoded(NOW)
    for _ in range(2):
        decoded.damaged = False
        assert decoded[b"damaged"] is None
        assert decoded.damaged
    assert is_damaged(b"damaged")
    assert is_damaged(b"")
    assert not is_damaged(encode(GOOD))


def test_memory_is_bounded() -> None:
    """Neither many records nor long ones fill it; they are decoded all the same."""
    decoded = Decoded(NOW)
    for generation in range(MOST + 100):
        record = encode(Verdict(Disposition.NOT_DETECTED, Source.ENGINE, generation, NOW))
        assert decoded[record] is not None
    assert len(decoded) == MOST
    decoded = Decoded(NOW)
    long = Verdict(Disposition.MALICIOUS, Source.ENGINE, 1, NOW, threat="t" * 255)
    assert decoded[encode(long)] == long
    assert len(decoded) == 1
