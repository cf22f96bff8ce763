"""What of KSN goes to the log by itself: one line when something is in the way, and one when it is gone."""

from functools import partial
from typing import Protocol

from appliance.ksn.obstacle import Obstacle
from appliance.ksn_assembly import KsnParts


class Log(Protocol):
    """Where lines go; structlog's is it."""

    def info(self, event: str) -> object:
        """All is well."""

    def warning(self, event: str, *, why: str) -> object:
        """Something is in the way."""


def tell_of(parts: KsnParts, log: Log) -> None:
    """Have the operator told from now on."""
    if parts.feed is not None:
        _tell(
            parts.feed.obstacle, log, "changes of KSN are not followed", "changes of KSN are followed again"
        )
    if parts.statistics is not None:
        obstacle = parts.statistics.obstacle
        _tell(obstacle, log, "usage statistics are not taken", "usage statistics are taken again")


def _tell(obstacle: Obstacle, log: Log, begins: str, ends: str) -> None:
    obstacle.on_change = partial(_changed, log, begins, ends)


def _changed(log: Log, begins: str, ends: str, sentence: str) -> None:
    if sentence:
        log.warning(begins, why=sentence)
    else:
        log.info(ends)
