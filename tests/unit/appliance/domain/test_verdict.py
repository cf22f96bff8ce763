"""What is known of a digest."""

import pytest

from appliance.domain.outcome import Disposition, Source, Unanswered
from appliance.domain.verdict import NoAnswer, Verdict, is_flip, is_notable, merged, tells_of_threat


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("disposition", Disposition)
def test_a_threat_is_one_that_was_found(disposition: Disposition, source: Source) -> None:
    """By an engine, by KSN or in a list; an administrator decides, and finds nothing."""
    found = disposition in (Disposition.MALICIOUS, Disposition.SUSPICIOUS) and source is not Source.OVERRIDE
    assert tells_of_threat(Verdict(disposition, source, 0, 0)) is found


def test_no_answer_tells_of_none() -> None:
    """Whatever it is for want of."""
    assert not tells_of_threat(NoAnswer(Unanswered.ENCRYPTED))


def test_of_two_words_the_first_counts_unless_the_second_is_worse() -> None:
    """One that is missing counts as none."""
    kinds = (Disposition.MALICIOUS, Disposition.CLEAN, Disposition.NOT_DETECTED)
    bad, good, none = (Verdict(each, Source.KSN, 0, 0) for each in kinds)
    assert merged([good, bad, None, good, none], [bad, good, good, None, good]) == [
        bad,
        bad,
        good,
        good,
        good,
    ]


def test_a_verdict_is_notable_that_says_more_than_its_outcome() -> None:
    """A detection, or a category."""
    assert is_notable(Verdict(Disposition.SUSPICIOUS, Source.KSN, 0, 0))
    assert is_notable(Verdict(Disposition.CLEAN, Source.KSN, 0, 0, category="Games"))
    assert not is_notable(Verdict(Disposition.CLEAN, Source.KSN, 0, 0))


def test_a_flip_is_from_a_detection_or_to_one() -> None:
    """From one kind of harmless to another is none, nor from one kind of threat to another."""
    word = {each: Verdict(each, Source.ENGINE, 0, 0) for each in Disposition}
    bad, odd = word[Disposition.MALICIOUS], word[Disposition.SUSPICIOUS]
    clean, nothing = word[Disposition.CLEAN], word[Disposition.NOT_DETECTED]
    assert is_flip(nothing, bad)
    assert is_flip(odd, clean)
    assert not is_flip(nothing, clean)
    assert not is_flip(odd, bad)
