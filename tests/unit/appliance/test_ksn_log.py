"""Tests of appliance/ksn_log.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from appliance.config import KsnSettings
from appliance.ksn.obstacle import Obstacle
from appliance.ksn_assembly import KsnParts
from appliance.ksn_log import tell_of
from appliance.state.environment import StateEnvironment
from tests.unit.appliance.test_ksn_assembly import parts


class Lines:
    """A log."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def info(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.lines.append(("info", event, *fields.items()))

    def warning(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.lines.append(("warning", f"{event}: {fields['why']}"))


def test_what_is_in_the_way_is_one_line_and_one_when_it_is_gone() -> None:
    """Of changes, and of usage statistics; where KSN is not enabled there is nothing to tell."""
    feed, statistics = Obstacle(), Obstacle()
    parts: Any = SimpleNamespace(
        network=None, feed=SimpleNamespace(obstacle=feed), statistics=SimpleNamespace(obstacle=statistics)
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


async def test_at_the_start_it_is_said_what_the_service_takes(tmp_path: Path) -> None:
    """And what of that which would be sent it does not take."""
    environment = StateEnvironment.open(tmp_path)
    settings = KsnSettings(enabled=True, mode_limit="extended")
    made = parts(environment, settings)
    log = Lines()
    tell_of(made, log)
    ((level, event, *fields),) = log.lines
    assert (level, event) == ("info", "KSN")
    said = dict(fields)
    assert (said["service"], said["type"]) == ("opentip.kaspersky.com", "global")
    assert said["takes"] == ["hash", "url", "domain", "ip", "submit", "result"]
    assert [sentence.split(":")[0] for sentence in said["not_sent"]] == [
        "the service does not take usage statistics",
        "the service tells of no changes",
    ]
    assert made.network is not None
    await made.network.close()
    environment.close()
