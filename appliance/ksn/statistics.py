"""Usage statistics: at intervals, for each tenant that takes part, how much was done since the last report.

What counts is what is counted while the tenant takes part: it begins anew when that begins or its terms
change. A report that failed leaves its figures to the next one. One with nothing in it is not sent. A service
that does not take statistics is sent none; one of which that turns out is tried again after an hour, or when
the provider says so.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Final

from appliance.domain.guest import Guest
from appliance.ksn.asker import Standing, Unknown
from appliance.ksn.obstacle import Obstacle
from appliance.ksn.participation import Participants
from appliance.ksn.reputation import Call, Trouble
from appliance.ksn.statement import statistics
from appliance.ksn.submitting import Sender

SEND_SECONDS: Final = 10.0  # that a report may take
SENDER: Final = "usage statistics"  # as the ledger has it, in the place of a guest
AGAIN_SECONDS: Final = 3600.0  # until a service is tried again that did not take them
_NOT_TAKEN: Final = "the service does not take usage statistics: none are sent"
_AGAIN: Final = "; that is tried again after an hour, or after `svm signatures reload`"


@dataclass(frozen=True, slots=True)
class Figures:
    """Running totals of one tenant: files checked, threats found in them, questions put to KSN."""

    checked: int = 0
    detected: int = 0
    asked: int = 0


@dataclass(frozen=True, slots=True)
class _Reported:
    """What was reported of a tenant so far, and when."""

    at: float
    figures: Figures


class Statistics:
    """Reports on behalf of each tenant that takes part. Lives on one event loop.

    counts: reports that were taken, and that failed. obstacle: why the last one failed, nothing where it did
    not. offered: whether the service takes them, as far as is known.
    """

    def __init__(
        self,
        asking: Sender,
        capabilities: frozenset[Call],
        participants: Participants,
        totals: Callable[[int], Figures],
        clock: Callable[[], float],
    ) -> None:
        """capabilities: of the service. totals: those of a scope; they never fall. clock: never goes back."""
        self.counts = {"sent": 0, "failed": 0}
        self.obstacle = Obstacle()
        self.offered = Call.STATISTICS in capabilities
        self._asking = asking
        self._capable = self.offered
        self._again_at = clock()
        self._participants = participants
        self._totals = totals
        self._clock = clock
        self._reported: dict[int, _Reported] = {}  # of those that take part
        for scope in participants.scopes():
            self.withdraw(scope)

    @property
    def not_taken(self) -> str:
        """A sentence for people where the service does not take statistics, "" where it does."""
        if self.offered:
            return ""
        return _NOT_TAKEN + (_AGAIN if self._capable else "")

    def ask_again(self) -> None:
        """Try with the next report, whatever the service said before: the provider has changed something."""
        self._again_at = self._clock()

    def withdraw(self, scope: int) -> None:
        """Note that a tenant takes part, or not, or on other terms, from now on: it begins anew."""
        self._reported.pop(scope, None)
        if self._participants.takes_part(scope):
            self._reported[scope] = _Reported(self._clock(), self._totals(scope))

    async def report(self) -> None:
        """Report for each tenant that takes part; to be called at intervals. Raises nothing."""
        scopes = self._participants.scopes() if self._capable else []
        self._reported = {scope: self._reported[scope] for scope in scopes if scope in self._reported}
        for scope in scopes:
            if scope not in self._reported:
                self.withdraw(scope)
            elif self._clock() >= self._again_at:
                await self._report(scope, self._reported[scope])

    async def _report(self, scope: int, before: _Reported) -> None:
        asker = self._participants.asker(Guest(SENDER, scope), Standing.HOUSE)
        now = _Reported(self._clock(), self._totals(scope))
        if asker is None or now.figures == before.figures:
            return
        request = statistics(_statement_names(before, now), asker.mode)
        said = await self._asking.send(asker, request, SEND_SECONDS)
        if said is not None:
            self._failed(said)
            return
        self.counts["sent"] += 1
        self.offered = True
        self.obstacle.is_now("")
        if self._reported.get(scope) is before:  # not where the terms changed meanwhile
            self._reported[scope] = now

    def _failed(self, said: Unknown) -> None:
        """Note why a report was not taken."""
        self.counts["failed"] += 1
        self.offered = said.why is not Trouble.NOT_OFFERED
        if not self.offered:  # as it turns out
            self._again_at = self._clock() + AGAIN_SECONDS
        self.obstacle.is_now(self.not_taken or said.reason)


def _statement_names(before: _Reported, now: _Reported) -> dict[str, int]:
    """What has come since, by the names that the Statement has for it; the period in whole seconds first."""
    names = ("files checked", "threats found", "questions asked")
    pairs = zip(astuple(before.figures), astuple(now.figures), strict=True)
    grown = [new - old for old, new in pairs]
    return {"period": round(now.at - before.at), **dict(zip(names, grown, strict=True))}
