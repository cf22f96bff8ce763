"""The progress line of an import."""

from appliance.private_ksn.progress import progress_line


def test_a_known_whole_has_a_bar_and_the_time_left() -> None:
    """A quarter in ten seconds leaves thirty."""
    line = progress_line(5000, 25, 100, 10.0)
    assert line == "[######------------------] 25 % · 5,000 entries · 500/s · about 0:30 left"


def test_an_unknown_whole_has_neither() -> None:
    """And the first moment does not divide by zero."""
    assert progress_line(0, 0, 0, 0.0) == "0 entries · 0/s"
