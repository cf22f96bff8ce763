"""What a service takes, and what would be sent and is not, or not now: for the status and the log."""

from dataclasses import dataclass

from appliance.domain.policy import Mode
from appliance.ksn.reputation import BESIDE_QUESTIONS, Call
from appliance.ksn_assembly import KsnParts

_NOT_TAKEN = {
    Call.SUBMIT: "the service takes no contents for analysis: none are handed over",
    Call.CHANGES: "the service tells of no changes: what KSN said ends by its own time",
}
_QUESTIONS = tuple(call for call in Call if call not in BESIDE_QUESTIONS | {Call.RESULT})


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is not sent, or not now. said: a sentence that says so, and why."""

    call: Call
    said: str


def taken(parts: KsnParts) -> tuple[Call, ...]:
    """Return what the service takes, as far as is known by now; nothing where KSN is not enabled."""
    refused = {notice.call for notice in notices(parts) if _lasts(parts, notice.call)}
    return tuple(call for call in Call if call in parts.capabilities and call not in refused)


def notices(parts: KsnParts) -> tuple[Notice, ...]:
    """Return what would be sent, by the settings, and is not; nothing where KSN is not enabled."""
    if parts.network is None:
        return ()
    said = {
        call: f"the service does not answer about {call}: it is not asked"
        for call in _QUESTIONS
        if call not in parts.capabilities
    }
    said |= {
        Call.SUBMIT: _of_contents(parts),
        Call.STATISTICS: _of_statistics(parts),
        Call.CHANGES: _of_changes(parts),
    }
    return tuple(Notice(call, sentence) for call, sentence in said.items() if sentence)


def _lasts(parts: KsnParts, call: Call) -> bool:
    """Whether the service turned out to have no such call, and is not only failing."""
    if call is Call.CHANGES:
        return parts.feed is None or not parts.feed.offered
    return call is Call.STATISTICS and parts.statistics is not None and not parts.statistics.offered


def _of_contents(parts: KsnParts) -> str:
    if parts.participants.terms.mode_limit < Mode.EXTENDED:
        return ""  # nothing would be handed over anyway
    return _NOT_TAKEN[Call.SUBMIT] if parts.submitter is None else parts.submitter.trouble


def _of_statistics(parts: KsnParts) -> str:
    statistics = parts.statistics
    if statistics is None:  # the provider wants none
        return ""
    return statistics.not_taken or statistics.obstacle.sentence


def _of_changes(parts: KsnParts) -> str:
    if parts.feed is None:
        return _NOT_TAKEN[Call.CHANGES]
    trouble = parts.feed.obstacle.sentence
    return f"they are not followed: {trouble}" if trouble and parts.participants.scopes() else ""
