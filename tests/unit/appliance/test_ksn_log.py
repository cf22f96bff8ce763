"""Tests of appliance/ksn_log.py."""

from types import SimpleNamespace
from typing import Any

from appliance.ksn.obstacle import Obstacle
from appliance.ksn_assembly import KsnParts
from appliance.ksn_log import tell_of


class Lines:
    """A log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def info(self, event: str) -> None:
        """Keep it."""
        self.lines.append(("info", event))

    def warning(self, event: str, *, why: str) -> None:
        """Keep it."""
        self.lines.append(("warning", f"{event}: {why}"))


def test_what_is_in_the_way_is_one_line_and_one_when_it_is_gone() -> None:
    """Of changes, and of usage statistics; where KSN is not enabled there is nothing to tell."""
    feed, statistics = Obstacle(), Obstacle()
    parts: Any = SimpleNamespace(
        feed=SimpleNamespace(obstacle=feed), statistics=SimpleNamespace(obstacle=statistics)
    )
    log = Lines()
    tell_of(parts, log)
    feed.is_now("nobody there")
    feed.is_now("it refuses")
    statistics.is_now("it does not take them")
    feed.is_now("")
    statistics.is_now("")
    assert log.lines == [
        ("warning", "changes of KSN are not followed: nobody there"),
        ("warning", "usage statistics are not taken: it does not take them"),
        ("info", "changes of KSN are followed again"),
        ("info", "usage statistics are taken again"),
    ]
    policies: Any = None
    tell_of(KsnParts(policies, policies), log)
