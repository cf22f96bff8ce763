"""Tests of appliance/scanning/result.py."""

from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Ageing, Detection, Verdict
from appliance.scanning.result import ScanResult, verdict_of

NOW = 7200.0 + 59


def test_the_worst_that_was_found_is_kept() -> None:
    """With the hour, without an end, in the words of the engine that objected first."""
    found = (Detection("T", "yara", "in/side"), Detection("U", "eicar"))
    assert verdict_of(ScanResult(found, None, 5), NOW, Ageing()) == Verdict(
        Disposition.MALICIOUS, Source.ENGINE, 5, 7200, 0, "T", "yara", "in/side"
    )


def test_that_nothing_was_found_counts_for_a_time() -> None:
    """As long as the settings say, from the hour on."""
    verdict = verdict_of(ScanResult((), None, 5), NOW, Ageing(not_detected_seconds=3600))
    assert verdict == Verdict(Disposition.NOT_DETECTED, Source.ENGINE, 5, 7200, 10_800)
