"""Puts KSN together from the settings: the gate always, the rest only where the provider has enabled it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appliance.config import BreakerSettings, KsnSettings, SubmitSettings
from appliance.domain.guest import Guest
from appliance.domain.participation import KsnState, Participation, Reason
from appliance.domain.policy import KsnType, Mode
from appliance.ksn.api_key import ApiKey, KeyUnusable, read_key
from appliance.ksn.asking import Asking
from appliance.ksn.breaker import Breaker, BreakerTerms
from appliance.ksn.epochs import Epochs
from appliance.ksn.feed import ChangeFeed, Timing
from appliance.ksn.later import Later, LaterTerms
from appliance.ksn.ledger import DisclosureLedger
from appliance.ksn.lists import UrlLists
from appliance.ksn.network import Ksn, Verdicts
from appliance.ksn.pacing import Pace, PaceTerms
from appliance.ksn.participation import Participants, ProviderTerms
from appliance.ksn.quota import AskingTerms, Quota, QuotaTerms
from appliance.ksn.reaching import Place
from appliance.ksn.relearning import Page, Relearning
from appliance.ksn.reputation import Call
from appliance.ksn.results import Results
from appliance.ksn.spent import Spent, last_day
from appliance.ksn.statement import NoStatement, read_addition
from appliance.ksn.statistics import Figures, Statistics
from appliance.ksn.submitting import Submitter, SubmitTerms
from appliance.ksn.web import Clocks, Web, WebTerms
from appliance.state.environment import StateEnvironment, StateError
from appliance.state.fields import meaning
from appliance.state.ledger import LedgerStore
from appliance.state.policies import PolicyStore
from appliance.state.positions import PositionStore

if TYPE_CHECKING:
    from appliance.ksn.opentip import OpenTip


_OWN_PACE_SECONDS = 0.01  # a service of one's own takes more questions in a row than a vendor's


class KsnUnusable(Exception):
    """KSN cannot be used as it is set; the message says what to change."""


_FOR_GUESTS = {
    Reason.UNREACHABLE: "the service does not answer well, and is left alone for a while",
    Reason.REFUSED: "the service refuses the provider's credentials",
    Reason.QUOTA_SPENT: "the quota is spent for now",
    Reason.NOT_RECORDED: "the disclosure ledger cannot be written, so nothing is sent",
}


@dataclass(frozen=True, slots=True)
class KsnParts:
    """policies, participants: who takes part. network: None where the provider has not enabled KSN.

    capabilities: of the service, as its driver states them.
    """

    policies: PolicyStore
    participants: Participants
    network: Ksn | None = None
    place: Place | None = None
    feed: ChangeFeed | None = None
    submitter: Submitter | None = None
    statistics: Statistics | None = None
    key: ApiKey | None = None
    later: Later | None = None
    relearning: Relearning | None = None
    results: Results | None = None
    capabilities: frozenset[Call] = frozenset()

    def participation(self, scope: int) -> Participation:
        """How a scope takes part now."""
        return (self.participants if self.network is None else self.network).participation(scope)

    def participation_of(self, guest: Guest) -> Participation:
        """How a guest's tenant takes part now. A guest is not told how things are inside of the SVM."""
        found = self.participation(guest.scope)
        reasons = [(reason, _FOR_GUESTS.get(reason, said)) for reason, said in found.reasons]
        asker = self.participants.asker(guest)
        if self.network is not None and asker is not None:
            trouble = self.network.asking.trouble_of(asker)
            reasons += [(Reason.QUOTA_SPENT, trouble.reason)] if trouble is not None else []
        state = KsnState.RESTRICTED if reasons and found.state is KsnState.ENABLED else found.state
        return replace(found, state=state, reasons=tuple(reasons))

    def figures(self) -> dict[str, float]:
        """Figures for metrics and status; none where KSN is not enabled."""
        network = self.network
        if network is None:
            return {}
        left, submitter = network.asking.quota_left(), self.submitter
        submitted = {} if submitter is None else submitter.counts
        results = {} if self.results is None else self.results.counts
        later = {} if self.later is None else {**self.later.counts, "waiting": len(self.later)}
        return {
            **{f"ksn_{name}": float(count) for name, count in network.counts.items()},
            **{f"ksn_submit_{name}": float(count) for name, count in submitted.items()},
            **{f"ksn_results_{name}": float(count) for name, count in results.items()},
            **{f"ksn_later_{name}": float(count) for name, count in later.items()},
            "ksn_over_share": network.asking.over_share,
            "ksn_under_way": network.asking.under_way,
            "ksn_ledger_entries": network.ledger.entries,
            "ksn_ledger_failing": bool(network.ledger.failing),
            "ksn_usable": network.asking.trouble() is None,
            **({} if left is None else {"ksn_quota_left": left}),
            **(
                {}
                if self.feed is None
                else {"ksn_changes": self.feed.heard, "ksn_changes_lost": self.feed.lost}
            ),
        }


def provider_terms(settings: KsnSettings) -> ProviderTerms:
    """Return what the provider has set. Raises KsnUnusable."""
    try:
        addition = read_addition(settings.statement_addition_file)
    except NoStatement as error:
        raise KsnUnusable(str(error)) from error
    return ProviderTerms(
        settings.enabled,
        KsnType(settings.type),
        Mode[settings.mode_limit.upper()],
        settings.share_between_tenants,
        addition,
        settings.locked,
        settings.submit.documents,
    )


def assemble(
    settings: KsnSettings,
    environment: StateEnvironment,
    verdicts: Verdicts,
    page: Callable[[int, bytes, int], Page],
    done: Callable[[int], Figures] = lambda _scope: Figures(),
) -> KsnParts:
    """Return the parts. Connects to nothing. Raises KsnUnusable, and StateError.

    page: the verdicts of a scope, some at a time. done: what was checked and found so far for a scope.
    """
    policies, ledger = PolicyStore(environment, time.time), LedgerStore(environment)
    positions = PositionStore(environment)
    participants = Participants(provider_terms(settings), policies.policies())
    if not settings.enabled:
        return KsnParts(policies, participants)
    service, place = _service(settings)
    written = DisclosureLedger(ledger, time.time)
    terms = QuotaTerms(settings.per_minute, settings.per_day, share=settings.guest_share)
    quota = Quota(terms, time.monotonic)
    asking = Asking(
        service,
        Breaker(_breaker_terms(settings.breaker), time.monotonic),
        quota,
        written,
        AskingTerms(
            share=settings.budget_share,
            longest_seconds=settings.longest_seconds,
            under_way=settings.under_way,
            per_guest=settings.open_questions,
        ),
    )
    network = Ksn(asking, written, participants, verdicts, time.time)
    takes = service.capabilities
    feed = _feed(network, place, positions) if Call.CHANGES in takes else None
    submitter = _submitter(network, settings.submit) if Call.SUBMIT in takes else None
    results = None if submitter is None else _results(network, submitter)
    _restore(ledger, quota, service.name, participants, submitter)
    later = _later(network)
    relearning = _relearning(network, later, page, positions, feed)
    askers = (network, later) if results is None else (network, later, results)
    totals = _totals(askers, done)
    statistics = _statistics(network, takes, totals) if settings.statistics.enabled else None
    key = ApiKey(settings.api_key_file, service, _ask_again(asking, feed, statistics))
    return KsnParts(
        policies,
        participants,
        network,
        place,
        feed,
        submitter,
        statistics,
        key,
        later,
        relearning,
        results,
        takes,
    )


def _ask_again(
    asking: Asking, feed: ChangeFeed | None, statistics: Statistics | None
) -> Callable[[bool], bool]:
    """Return what has everything tried again that a service had refused, or had not."""

    def ask_again(changed: bool) -> bool:
        again = asking.ask_again(changed)
        if feed is not None:
            feed.ask_again()
        if statistics is not None:
            statistics.ask_again()
        return again

    return ask_again


def sent_lately(ledger: LedgerStore, now: float) -> list[Spent]:
    """What earlier runs sent in the last day, the oldest first. Raises StateError.

    now: seconds since the epoch.
    """
    with meaning(ledger.path, "an entry of the ledger"):
        return last_day((entry.payload for entry in ledger.newest()), now)


def _restore(
    ledger: LedgerStore, quota: Quota, service: str, participants: Participants, submitter: Submitter | None
) -> None:
    """Take into account what earlier runs sent in the last day. Raises StateError."""
    before = sent_lately(ledger, time.time())
    scopes = participants.scopes_by_tenant()
    quota.restore((spent.age, spent.payer(scopes)) for spent in before if spent.counts_for(service))
    if submitter is not None:
        submitter.restore(before)


def _submitter(network: Ksn, settings: SubmitSettings) -> Submitter:
    """Return what hands over content; it hears of consent that is withdrawn."""
    terms = SubmitTerms(
        settings.after_detection,
        settings.unknown_executables,
        settings.max_file_mib << 20,
        settings.part_mib << 20,
        settings.daily_mib << 20,
        settings.daily_files,
        settings.queue,
    )
    submitter = Submitter(network.asking, network.participants, network.is_unknown, terms, time.monotonic)
    network.on_withdraw.append(submitter.withdraw)
    return submitter


def _results(network: Ksn, submitter: Submitter) -> Results:
    """Return what asks what became of what was handed over; it hears of consent that is withdrawn."""
    results = Results(network.asking, network.participants, time.monotonic)
    submitter.on_sent = results.sent
    network.on_withdraw.append(results.withdraw)
    return results


def _later(network: Ksn) -> Later:
    """Return what asks later; it hears of every answer, of none, and of consent that is withdrawn."""
    own = network.participants.terms.type is KsnType.PRIVATE
    terms = LaterTerms(pace_seconds=_OWN_PACE_SECONDS) if own else LaterTerms()
    later = Later(network.asking, network.participants, network.is_open, time.monotonic, terms)
    network.on_withdraw.append(later.withdraw)
    network.on_unanswered.append(later.unanswered)
    network.on_answer.append(later.answered)
    return later


def _relearning(
    network: Ksn,
    later: Later,
    page: Callable[[int, bytes, int], Page],
    positions: PositionStore,
    feed: ChangeFeed | None,
) -> Relearning:
    """Return what has KSN asked anew after changes were missed; it goes on where an earlier run ended."""
    service = network.asking.service_name
    begun = f"relearning from {service}"
    relearning = Relearning(later, network.scopes, page, _keeping(positions, begun))
    epoch = f"epoch of {service}"
    epochs = Epochs(network, positions.get(epoch) or 0, _keeping(positions, epoch))
    network.on_forget.append(relearning.begin)
    if positions.get(begun):
        relearning.begin()
    if feed is not None:
        feed.on_lost = epochs.lost
    return relearning


def _keeping(positions: PositionStore, name: str) -> Callable[[int], Awaitable[None]]:
    """Return what keeps a number under a name; where that fails, a restart does something once more."""

    async def keep(position: int) -> None:
        with suppress(StateError):
            await asyncio.to_thread(positions.set, name, position)

    return keep


def _totals(
    askers: Iterable[Ksn | Later | Results], done: Callable[[int], Figures]
) -> Callable[[int], Figures]:
    """Return what tells how much was done for a scope."""

    def totals(scope: int) -> Figures:
        return replace(done(scope), asked=sum(asker.asked_by_scope[scope] for asker in askers))

    return totals


def _statistics(network: Ksn, takes: frozenset[Call], totals: Callable[[int], Figures]) -> Statistics:
    """Return what reports how much was done; it hears of consent that is withdrawn."""
    statistics = Statistics(network.asking, takes, network.participants, totals, time.monotonic)
    network.on_withdraw.append(statistics.withdraw)
    return statistics


def assemble_web(ksn: KsnParts, lists: UrlLists, valid_for_seconds: float) -> Web:
    """Return what answers about web addresses; it hears of what the service takes back."""
    network = ksn.network
    asking = None if network is None else network.asking
    clocks = Clocks(time.monotonic, time.time)
    web = Web(lists, ksn.participants, asking, WebTerms(valid_for_seconds), clocks)
    if network is not None:
        network.on_flip.append(web.flip)
        network.on_forget.append(web.forget)
    return web


def _service(settings: KsnSettings) -> tuple["OpenTip", Place]:
    """Return the driver of the service, and where that is. Raises KsnUnusable."""
    # Here and not above: an SVM without KSN is spared the HTTP library, some 15 MB.
    from appliance.ksn.opentip import GLOBAL_KSN, BadEndpoint, Endpoint, OpenTip  # noqa: PLC0415

    try:
        key = "" if settings.api_key_file is None else read_key(settings.api_key_file)
    except KeyUnusable as error:
        raise KsnUnusable(str(error)) from error
    endpoint = Endpoint(
        settings.endpoint or GLOBAL_KSN,
        key,
        settings.ca_file,
        settings.proxy or None,
        settings.certificate_file,
        settings.certificate_key_file,
        ours=settings.type == KsnType.PRIVATE,
    )
    try:
        service = OpenTip(urlsplit(endpoint.base_url).netloc, endpoint)
    except BadEndpoint as error:
        raise KsnUnusable(f"ksn: {error}") from error
    tls = service.tls if endpoint.base_url.startswith("https:") else None
    return service, Place(endpoint.base_url, tls, endpoint.proxy)


def _breaker_terms(settings: BreakerSettings) -> BreakerTerms:
    return BreakerTerms(
        in_a_row=settings.in_a_row,
        slow_seconds=settings.slow_seconds,
        pause_seconds=settings.pause_seconds,
        longest_pause_seconds=settings.longest_pause_seconds,
        refused_pause_seconds=settings.refused_pause_seconds,
    )


def _feed(network: Ksn, place: Place, positions: PositionStore) -> ChangeFeed:
    """Return what follows the changes of a service; each has a position of its own."""
    return ChangeFeed(
        network.asking,
        lambda: network.participants.asker_for_all("svm"),
        network.flip,
        lambda: positions.get(place.base_url),
        _keeping(positions, place.base_url),
        Timing(Pace(PaceTerms(), time.monotonic, random.random), time.monotonic),
    )
