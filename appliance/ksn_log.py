"""What of KSN goes to the log by itself: what the service takes, at the start; then what comes into the way.

Of that one line when it begins, and one when it is gone.
"""

from functools import partial
from typing import Any, Protocol

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
        parts.feed.obstacle.on_change = partial(_of_changes, log)
    if parts.statistics is not None:
        parts.statistics.obstacle.on_change = partial(_of_statistics, log)


def _of_changes(log: Log, sentence: str) -> None:
    if sentence:
        log.warning("changes of KSN are not followed", why=sentence)
    else:
        log.info("changes of KSN are followed again")


def _of_statistics(log: Log, sentence: str) -> None:
    if sentence:
        log.warning("usage statistics are not taken", why=sentence)
    else:
        log.info("usage statistics are taken again")
