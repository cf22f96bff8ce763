"""What is known of a digest."""

import pytest

from appliance.domain.outcome import Disposition, Source, Unanswered
from appliance.domain.verdict import NoAnswer, Verdict, tells_of_threat


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("disposition", Disposition)
def test_a_threat_is_one_that_was_found(disposition: Disposition, source: Source) -> None:
    """By an engine, by KSN or in a list; an administrator decides, and finds nothing."""
    found = disposition in (Disposition.MALICIOUS, Disposition.SUSPICIOUS) and source is not Source.OVERRIDE
    assert tells_of_threat(Verdict(disposition, source, 0, 0)) is found


def test_no_answer_tells_of_none() -> None:
    """Whatever it is for want of."""
    assert not tells_of_threat(NoAnswer(Unanswered.ENCRYPTED))
