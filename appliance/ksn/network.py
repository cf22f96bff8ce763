"""KSN as the SVM uses it: whoever may ask does, what is learnt is told, and nobody waits for long.

Before anything is begun for a digest, it is looked at inline whether that is of any use: whether the guest's
tenant takes part, the digest is not one of those that everybody knows, KSN did not say just now that it does
not know it, and breaker, quota and the guest's own bound leave room. So a scan of a whole tree
with the quota spent costs no more than one without KSN.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.guest import KSN_SHARED_SCOPE, Guest
from appliance.domain.outcome import Source
from appliance.domain.participation import Participation, Reason
from appliance.domain.verdict import Verdict
from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.asking import Asking, Outcome
from appliance.ksn.at_home import AT_HOME
from appliance.ksn.ledger import DisclosureLedger
from appliance.ksn.participation import Participants, Reasons
from appliance.ksn.reputation import Answer, Call, Flip, Subject, Trouble
from appliance.ksn.zones import RULINGS, keep_seconds

ENGINE: Final = "ksn"  # as in Verdict.engine
MOST_UNKNOWN: Final = 32_768  # digests of which it is remembered that KSN does not know them
_HOUR: Final = 3600


class Verdicts(Protocol):
    """Where it is told what KSN says; `protection.Protection` is it."""

    def learned(self, scope: int, digest: bytes, verdict: Verdict) -> None:
        """What is known now, and in which scope it may be seen."""

    def flipped(self, scopes: Iterable[int], digest: bytes, verdict: Verdict | None) -> None:
        """What it says now of a digest of which something may be kept in the scopes; None: nothing."""

    def found_nothing(self, scope: int, digest: bytes) -> bool:
        """Whether no more is known of a digest in a scope than that engines found nothing."""


class Ksn:
    """One service, on behalf of all tenants that take part. Lives on one event loop."""

    def __init__(
        self,
        asking: Asking,
        ledger: DisclosureLedger,
        participants: Participants,
        verdicts: Verdicts,
        clock: Callable[[], float],
    ) -> None:
        """verdicts: is told. ledger: the one that `asking` writes to. clock: seconds since the epoch."""
        self.asking = asking
        self.ledger = ledger
        self.participants = participants
        self.counts = {
            "asked": 0,
            "known": 0,
            "unknown": 0,
            "unanswered": 0,
            "not_worth_asking": 0,
            "flipped": 0,
        }
        self.asked_by_scope: Counter[int] = Counter()
        self._learned, self._flipped = verdicts.learned, verdicts.flipped
        self._found_nothing = verdicts.found_nothing
        self._clock = clock
        self._unknown: dict[tuple[int, bytes], float] = {}  # until when, in the order of being learnt
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_withdraw: list[Callable[[int], None]] = []  # told the scope
        self.on_flip: list[Callable[[Flip], None]] = []
        self.on_forget: list[Callable[[], None]] = []
        self.epoch = 0
        self.on_answer: list[Callable[[Asker, Subject, Answer], None]] = []
        self.on_unanswered: list[Callable[[int, bytes, Trouble], None]] = []  # told scope, digest and why
        asking.on_answer = self._on_answer
        asking.allows = participants.allows

    def takes_part(self, scope: int) -> bool:
        """Whether KSN's answers may be seen in a scope."""
        return self.participants.takes_part(scope)

    @property
    def shared(self) -> bool:
        """Whether tenants that take part see each other's answers."""
        return self.participants.terms.shared

    def scopes(self) -> list[int]:
        """Those where they may."""
        return self.participants.scopes()

    def slice_of(self, budget: float) -> float:
        """How many of `budget` seconds a question may take."""
        return self.asking.slice_of(budget)

    def would_ask(self, guest: Guest, digest: bytes) -> bool:
        """Whether asking about a digest is allowed, and of any use now. Sends nothing."""
        asker = self.participants.asker(guest)
        if asker is None:
            return False
        if digest in AT_HOME or self.is_unknown(asker.scope, digest) or not self.asking.has_room(asker):
            self.counts["not_worth_asking"] += 1
            return False
        return True

    def ask(self, guest: Guest, digest: bytes, budget: float, done: Callable[[], None]) -> None:
        """Ask about a digest, in a share of `budget` seconds; `done` is called when that is over.

        What is learnt is told before that; or later, where the service took longer.
        """
        asker = self.participants.asker(guest)
        if asker is None:
            done()
            return
        task = asyncio.get_running_loop().create_task(self._ask(asker, digest, budget, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def look_up(self, asker: Asker, digest: bytes, seconds: float) -> Outcome:
        """Ask on behalf of a tenant whatever is known already; for administrators."""
        return await self.asking.ask(asker, Subject(Call.HASH, digest.hex()), seconds)

    def flip(self, flip: Flip) -> None:
        """Take over that the service says something else of a subject now."""
        for told in self.on_flip:
            told(flip)
        if flip.call is not Call.HASH:
            return
        try:
            digest = bytes.fromhex(flip.value)
        except ValueError:
            return
        if len(digest) != DIGEST_BYTES:  # a list of MD5 or SHA-1, by which nothing is kept
            return
        scopes = [*self.participants.scopes(), KSN_SHARED_SCOPE]
        for scope in scopes:
            self._unknown.pop((scope, digest), None)
        verdict = None
        if flip.zone is not None and RULINGS[flip.zone].disposition is not None:
            said = Answer(flip.zone, flip.threat, flip.category, program=flip.program)
            verdict = self._verdict(said)
        self.counts["flipped"] += 1
        self._flipped(scopes, digest, verdict)

    def forget(self, epoch: int) -> None:
        """Let nothing count any more that was learnt in an earlier epoch: changes were missed since."""
        self.epoch = epoch
        self._unknown.clear()
        for told in self.on_forget:
            told()

    def withdraw(self, scope: int) -> None:
        """End what is under way for a tenant that takes part no more, or on other terms."""
        for told in self.on_withdraw:
            told(scope)
        self.asking.withdraw(scope)

    def participation(self, scope: int) -> Participation:
        """How a scope takes part, and what is in the way now."""
        return self.participants.participation(scope, self._troubles())

    async def close(self) -> None:
        """End everything that is under way, and write down how it ended."""
        await self.asking.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.ledger.close()

    async def _ask(self, asker: Asker, digest: bytes, budget: float, done: Callable[[], None]) -> None:
        self.counts["asked"] += 1
        self.asked_by_scope[asker.scope] += 1
        try:
            outcome = await self.asking.ask(asker, Subject(Call.HASH, digest.hex()), budget)
            if isinstance(outcome, Unknown):
                self.counts["unanswered"] += 1
                for told in self.on_unanswered:
                    told(asker.scope, digest, outcome.why)
        finally:
            done()

    def _on_answer(self, asker: Asker, subject: Subject, answer: Answer) -> None:
        """Keep what a service said, whether or not somebody still waits for it."""
        if subject.call is Call.HASH and len(subject.value) != 2 * DIGEST_BYTES:
            return  # what `checking` asks about is no digest, and whatever is said of it counts nowhere
        for told in self.on_answer:
            told(asker, subject, answer)
        if subject.call not in (Call.HASH, Call.RESULT) or not self.takes_part(asker.scope):
            return
        digest, now = bytes.fromhex(subject.value), self._clock()
        if RULINGS[answer.zone].disposition is None:
            self.counts["unknown"] += 1
            until = now + keep_seconds(answer.zone, random.random)
            self._remember_unknown(asker.scope, digest, until)
            return
        self.counts["known"] += 1
        self._learned(KSN_SHARED_SCOPE if self.shared else asker.scope, digest, self._verdict(answer))

    def _verdict(self, answer: Answer) -> Verdict:
        """An answer that decides something, as it is kept."""
        disposition, now = RULINGS[answer.zone].disposition, self._clock()
        assert disposition is not None
        return Verdict(
            disposition,
            Source.KSN,
            self.epoch,
            int(now // _HOUR) * _HOUR,
            int(now + keep_seconds(answer.zone, random.random)),
            threat=answer.threat or (f"KSN.{answer.zone}" if disposition.is_detection else ""),
            engine=ENGINE,
            category=answer.software,
        )

    def is_open(self, scope: int, digest: bytes) -> bool:
        """Whether engines found nothing in a content, and KSN's word on it is missing."""
        known_here = digest in AT_HOME or self.is_unknown(scope, digest)
        return not known_here and self._found_nothing(scope, digest)

    def is_unknown(self, scope: int, digest: bytes) -> bool:
        """Whether KSN said to a scope, a short while ago, that it does not know a digest."""
        until = self._unknown.get((scope, digest))
        return until is not None and until > self._clock()

    def _remember_unknown(self, scope: int, digest: bytes, until: float) -> None:
        self._unknown.pop((scope, digest), None)
        self._unknown[scope, digest] = until
        if len(self._unknown) > MOST_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]

    def _troubles(self) -> Reasons:
        """What of the service is in the way now."""
        if self.ledger.failing:
            return (
                (
                    Reason.NOT_RECORDED,
                    f"nothing is sent, the ledger cannot be written: {self.ledger.failing}",
                ),
            )
        found = self.asking.trouble()
        return () if found is None else ((_REASONS[found.why], found.reason),)


_REASONS = {
    Trouble.REFUSED: Reason.REFUSED,
    Trouble.PAUSED: Reason.UNREACHABLE,
    Trouble.QUOTA: Reason.QUOTA_SPENT,
}
