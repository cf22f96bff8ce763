"""The lines of an import that could not be taken."""

import io

import pytest

from appliance.feeds.lines import Bad
from appliance.private_ksn import bad_lines
from appliance.private_ksn.bad_lines import MOST_SHOWN, BadLines
from appliance.private_ksn.console import Console
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.sources import Found

GOOD = Found((b"k",), Reputation(Zone.RED))


def told(lines: BadLines) -> list[str]:
    """What a person sees."""
    err = io.StringIO()
    lines.tell(Console(io.StringIO(), err, lambda: 0.0))
    return err.getvalue().splitlines()


def test_everything_passes_and_the_bad_are_counted() -> None:
    """In their order; without a bad one there is nothing to say."""
    lines = BadLines(None)
    assert list(lines.of(iter([GOOD]))) == [GOOD]
    assert told(lines) == []
    items: list[Found | Bad] = [GOOD, Bad("line 2", "odd\x1b"), GOOD]
    assert list(lines.of(iter(items))) == items
    assert told(lines) == ["private-ksn: line 2: odd?", "private-ksn: 1 were not taken"]


def test_no_more_is_kept_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are bad: so many on the screen, so many in the file; none can steer a terminal."""
    monkeypatch.setattr(bad_lines, "MOST_WRITTEN", 30)
    file = io.StringIO()
    file.name = "/f"
    lines = BadLines(file)
    assert len(list(lines.of(Bad(f"line {n}", "\x1bodd") for n in range(1, 100)))) == 99
    assert len(told(lines)) == MOST_SHOWN + 1
    assert told(lines)[-1] == "private-ksn: 99 were not taken; /f names the first 30"
    assert file.getvalue().splitlines()[29:] == ["line 30: ?odd"]
