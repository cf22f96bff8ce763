"""What of KSN goes to the log by itself: what the service takes, at the start; then what comes into the way.

Of that one line when it begins, and one when it is gone.
"""

from functools import partial
from typing import Any, Protocol

from appliance.ksn.obstacle import Obstacle
from appliance.ksn_assembly import KsnParts
from appliance.ksn_taken import notices, taken


class Log(Protocol):
    """Where lines go; structlog's is it."""

    def info(self, event: str, **fields: Any) -> object:
        """All is well."""

    def warning(self, event: str, **fields: Any) -> object:
        """Something is in the way."""


def tell_of(parts: KsnParts, log: Log) -> None:
    """Tell the operator what is sent, and have him told from now on what is in the way."""
    if parts.network is not None:
        log.info(
            "KSN",
            service=parts.network.asking.service_name,
            type=parts.participants.terms.type.value,
            takes=[call.value for call in taken(parts)],
            not_sent=[notice.said for notice in notices(parts)],
        )
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
