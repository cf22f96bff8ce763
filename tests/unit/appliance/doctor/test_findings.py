"""One line of what `svm doctor` says."""

import pytest

from appliance.doctor.findings import DAY, ending, long, mib, several


@pytest.mark.parametrize(
    ("left", "good", "said"),
    [
        (-3 * DAY, False, "ended 3 days ago: renew"),
        (1, False, "counts for another 1 s: renew"),
        (7 * DAY - 1, False, "counts for another 6 days: renew"),
        (7 * DAY, None, "counts for another 7 days: renew"),
        (30 * DAY - 1, None, "counts for another 29 days: renew"),
        (30 * DAY, True, "counts for another 30 days"),
    ],
)
def test_what_ends_is_told_in_time(left: float, good: bool | None, said: str) -> None:
    """Under 7 days is amiss, under 30 is to be known, and both say what to do."""
    finding = ending("it", 1000.0 + left, 1000.0, "renew")
    assert (finding.good, finding.said) == (good, said)


def test_long_lists_are_cut() -> None:
    """Five are named, the others counted."""
    assert several(list("abcde")) == "a, b, c, d, e"
    assert several(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_lengths_and_sizes_are_for_people() -> None:
    """Each in the unit that matters."""
    assert [long(seconds) for seconds in (59, 600, 3 * 3600, 49 * 3600)] == [
        "59 s",
        "10 min",
        "3 h",
        "2 days",
    ]
    assert mib(3 << 19) == "1.5 MiB"
