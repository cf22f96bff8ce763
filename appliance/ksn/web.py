"""What is known of a web address: lists at home, then what was learnt, then KSN, step by step.

The URL is asked about, then its host, then its registered domain, until one is known; on behalf of a guest
whose tenant takes part, and of no other. Who does not take part is answered by the lists alone, and never
sees what KSN said to others. All steps together cost a share of the caller's budget. What a service does is
no error here: the address is then not known, and the answer says why.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.domain.guest import KSN_SHARED_SCOPE, Guest
from appliance.domain.outcome import Source
from appliance.domain.policy import KsnType, Mode
from appliance.domain.web import Matched, UrlAnswer, UrlOutcome
from appliance.feeds.web_address import BadUrl
from appliance.ksn.asker import Asker, Unknown
from appliance.ksn.asking import Asking
from appliance.ksn.lists import UrlLists
from appliance.ksn.participation import Participants
from appliance.ksn.reputation import Answer, Call, Flip, Subject, Trouble
from appliance.ksn.weburl import WebResource, parse_url
from appliance.ksn.zones import RULINGS, Zone, keep_seconds

_WEB = frozenset({Call.URL, Call.DOMAIN, Call.IP})
# Of this subject only: another step may still be answered.
_GO_ON = frozenset({Trouble.BAD_QUERY, Trouble.TOO_LARGE, Trouble.NOT_OFFERED, Trouble.NOT_ALLOWED})
_NOT_PUBLIC = "KSN was not asked: the host is known in its own network only, and the service is outside"
_NOBODY = Unknown(Trouble.NOT_OFFERED, "KSN was not asked")


@dataclass(frozen=True, slots=True)
class WebTerms:
    """valid_for_seconds: the longest that a guest may keep an answer. kept: answers, of all tenants."""

    valid_for_seconds: float = 3600.0
    kept: int = 32_768


@dataclass(frozen=True, slots=True)
class Clocks:
    """monotonic: seconds for budgets. epoch: seconds for what is kept. random: as random.random."""

    monotonic: Callable[[], float]
    epoch: Callable[[], float]
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Said:
    """What KSN says in the end. subject: what that is about."""

    outcome: Answer | Unknown
    subject: Subject
    until: float = 0.0


class Web:
    """Answers about web addresses, for all tenants. Lives on one event loop."""

    def __init__(
        self,
        lists: UrlLists,
        participants: Participants,
        asking: Asking | None,
        terms: WebTerms,
        clocks: Clocks,
    ) -> None:
        """asking: None where the provider has not enabled KSN. Make it after `Ksn`: both listen."""
        self.lists = lists
        self.counts = {"asked": 0, "listed": 0, "known": 0, "unknown": 0}
        self._participants, self._asking = participants, asking
        self._terms, self._clocks = terms, clocks
        self._kept: dict[tuple[int, Subject], tuple[float, Answer]] = {}  # in the order of being learnt
        self._by_sum: dict[str, Subject] = {}  # URLs by their SHA-256, as long ones are told of
        if asking is not None:
            self._others = asking.on_answer
            asking.on_answer = self._on_answer

    async def check(self, guest: Guest, text: str, budget: float) -> UrlAnswer:
        """Return what is known of an address within a share of `budget` seconds; raises nothing."""
        self.counts["asked"] += 1
        try:
            resource = parse_url(text)
        except BadUrl as error:
            return UrlAnswer(UrlOutcome.NO_URL, reason=str(error))
        listed = self._listed(resource)
        if listed is not None:
            self.counts["listed"] += 1
            return listed
        said = await self._by_ksn(guest, resource, budget)
        answer = said if isinstance(said, UrlAnswer) else self._answer(said, resource)
        self.counts["unknown" if answer.outcome is UrlOutcome.UNKNOWN else "known"] += 1
        return answer

    def flip(self, flip: Flip) -> None:
        """Forget what was kept of a subject of which the service says something else now."""
        if flip.call not in _WEB:
            return
        value, _, query = flip.value.partition("?")
        subject = self._by_sum.get(flip.url_sha256) or Subject(flip.call, value, query)
        for scope in (*self._participants.scopes(), KSN_SHARED_SCOPE):
            self._kept.pop((scope, subject), None)

    def forget(self) -> None:
        """Let nothing count any more that KSN said."""
        self._kept.clear()

    def __len__(self) -> int:
        """How many of KSN's answers are kept."""
        return len(self._kept)

    def _listed(self, resource: WebResource) -> UrlAnswer | None:
        word = self.lists.find(resource)
        if word is None:
            return None
        return UrlAnswer(
            UrlOutcome.MALICIOUS,
            category=word.category,
            matched=Matched.LIST,
            source=Source.LIST,
            valid_for=self._terms.valid_for_seconds,
            reason=f"it stands in {word.list}",
        )

    async def _by_ksn(self, guest: Guest, resource: WebResource, budget: float) -> Said | UrlAnswer:
        """What KSN says on a guest's behalf, or that it may not be asked."""
        asker = self._participants.asker(guest)
        if asker is None or self._asking is None:
            why = self._participants.participation(guest.scope).reasons
            return _unknown(f"KSN was not asked: {why[0][1] if why else 'it is not enabled'}")
        if not may_ask(asker, resource):
            return _unknown(_NOT_PUBLIC)
        end = self._clocks.monotonic() + self._asking.slice_of(budget)
        return await self._steps(guest, resource, end)

    async def _steps(self, guest: Guest, resource: WebResource, end: float) -> Said | UrlAnswer:
        """Go from step to step until one is known. end: by the monotonic clock."""
        assert self._asking is not None
        said, until = Said(_NOBODY, Subject(Call.URL, "")), float("inf")
        for place in range(len(resource.subjects(extended=True))):
            asker = self._participants.asker(guest)  # may have been withdrawn, or be in another mode now
            if asker is None:
                return _unknown("KSN is asked no more: the tenant takes part no more")
            subjects = resource.subjects(extended=asker.mode is Mode.EXTENDED)
            if place >= len(subjects):
                break
            subject = subjects[place]
            found = self._from_memory(asker, subject)
            if found is None:
                outcome = await self._asking.ask_within(asker, subject, end - self._clocks.monotonic())
                found = self._from_memory(asker, subject)
                if found is None or isinstance(outcome, Unknown):
                    found = Said(outcome, subject)
            until = min(until, found.until)
            said = replace(_later(said, Said(found.outcome, subject)), until=until)
            if not _goes_on(found.outcome):
                break
        return said

    def _from_memory(self, asker: Asker, subject: Subject) -> Said | None:
        """What was learnt and still counts."""
        kept = self._kept.get((self._scope(asker), subject))
        if kept is None or kept[0] <= self._clocks.epoch():
            return None
        return Said(kept[1], subject, kept[0])

    def _on_answer(self, asker: Asker, subject: Subject, answer: Answer) -> None:
        """Keep what a service said, whether or not somebody still waits for it."""
        self._others(asker, subject, answer)
        if subject.call not in _WEB or not self._participants.takes_part(asker.scope):
            return
        key = (self._scope(asker), subject)
        self._kept.pop(key, None)
        until = self._clocks.epoch() + keep_seconds(answer.zone, self._clocks.random)
        self._kept[key] = (until, answer)
        if len(self._kept) > self._terms.kept:
            del self._kept[next(iter(self._kept))]
        if subject.call is Call.URL:
            self._remember_sum(subject)

    def _remember_sum(self, subject: Subject) -> None:
        url = f"{subject.value}?{subject.query}" if subject.query else subject.value
        url_sha256 = hashlib.sha256(url.encode()).hexdigest()
        self._by_sum.pop(url_sha256, None)
        self._by_sum[url_sha256] = subject
        if len(self._by_sum) > self._terms.kept:
            del self._by_sum[next(iter(self._by_sum))]

    def _scope(self, asker: Asker) -> int:
        return KSN_SHARED_SCOPE if self._participants.terms.shared else asker.scope

    def _answer(self, said: Said, resource: WebResource) -> UrlAnswer:
        """What KSN said, as the guest is told."""
        outcome = said.outcome
        if isinstance(outcome, Unknown):
            return _unknown(f"KSN gave no answer: {outcome.reason}")
        left = max(0.0, min(said.until - self._clocks.epoch(), self._terms.valid_for_seconds))
        disposition = RULINGS[outcome.zone].disposition
        if disposition is None:
            reason = "KSN does not know it"
            if outcome.zone is Zone.GREY:
                reason = "KSN says nothing for or against it"
            return UrlAnswer(UrlOutcome.UNKNOWN, category=outcome.category, valid_for=left, reason=reason)
        return UrlAnswer(
            UrlOutcome(int(disposition)),
            outcome.threat,
            outcome.category,
            _matched(said.subject, resource),
            Source.KSN,
            left,
        )


def may_ask(asker: Asker, resource: WebResource) -> bool:
    """Whether a service of the asker's type can know the host at all."""
    return resource.public or asker.type is not KsnType.GLOBAL


async def look_up(asking: Asking, asker: Asker, resource: WebResource, seconds: float) -> Said:
    """Ask KSN step by step on behalf of a tenant, whatever is known already; for administrators.

    seconds: for each step.
    """
    said = Said(_NOBODY, Subject(Call.URL, ""))
    for subject in resource.subjects(extended=asker.mode is Mode.EXTENDED):
        found = Said(await asking.ask(asker, subject, seconds), subject)
        said = _later(said, found)
        if not _goes_on(found.outcome):
            break
    return said


def _later(said: Said, found: Said) -> Said:
    """What counts of two steps: the later, unless it decides nothing and only the earlier has a category."""
    return said if _category(said) and not _category(found) and _goes_on(found.outcome) else found


def _category(said: Said) -> str:
    return said.outcome.category if isinstance(said.outcome, Answer) else ""


def _goes_on(outcome: Answer | Unknown) -> bool:
    """Whether the next step is of use."""
    if isinstance(outcome, Unknown):
        return outcome.why in _GO_ON
    return RULINGS[outcome.zone].disposition is None


def _matched(subject: Subject, resource: WebResource) -> Matched:
    if subject.call is Call.URL:
        return Matched.URL
    return Matched.HOST if subject.value == resource.host else Matched.DOMAIN


def _unknown(reason: str) -> UrlAnswer:
    return UrlAnswer(UrlOutcome.UNKNOWN, reason=reason)
