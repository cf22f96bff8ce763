"""Puts KSN together from the settings: the gate always, the rest only where the provider has enabled it."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from appliance.config import BreakerSettings, KsnSettings
from appliance.domain.guest import Guest
from appliance.domain.participation import Participation
from appliance.domain.policy import KsnType, Mode
from appliance.ksn.asking import Asking, AskingTerms
from appliance.ksn.breaker import Breaker, BreakerTerms
from appliance.ksn.checking import Place
from appliance.ksn.feed import ChangeFeed
from appliance.ksn.ledger import DisclosureLedger
from appliance.ksn.network import Ksn, Verdicts
from appliance.ksn.participation import Participants, ProviderTerms
from appliance.ksn.quota import Quota, QuotaTerms
from appliance.ksn.reputation import Call, ReputationService
from appliance.state.environment import StateEnvironment, StateError
from appliance.state.ledger import LedgerStore
from appliance.state.policies import PolicyStore
from appliance.state.positions import PositionStore

MAX_KEY_BYTES = 4096
MAX_ADDITION_BYTES = 256 * 1024


class KsnUnusable(Exception):
    """KSN cannot be used as it is set; the message says what to change."""


@dataclass(frozen=True, slots=True)
class KsnParts:
    """policies, participants: who takes part. network: None where the provider has not enabled KSN."""

    settings: KsnSettings
    policies: PolicyStore
    participants: Participants
    network: Ksn | None = None
    place: Place | None = None
    feed: ChangeFeed | None = None

    def participation(self, scope: int) -> Participation:
        """How a scope takes part now."""
        return (self.participants if self.network is None else self.network).participation(scope)

    def participation_of(self, guest: Guest) -> Participation:
        """How a guest's tenant takes part now."""
        return self.participation(guest.scope)

    def figures(self) -> dict[str, float]:
        """Figures for metrics and status; none where KSN is not enabled."""
        network = self.network
        if network is None:
            return {}
        left = network.asking.quota_left()
        return {
            **{f"ksn_{name}": float(count) for name, count in network.counts.items()},
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
    addition = ""
    if settings.statement_addition_file is not None:
        addition = _read(settings.statement_addition_file, MAX_ADDITION_BYTES, "ksn.statement_addition_file")
    return ProviderTerms(
        settings.enabled,
        KsnType(settings.type),
        Mode[settings.mode_limit.upper()],
        settings.share_between_tenants,
        addition,
        settings.locked,
    )


def assemble(settings: KsnSettings, environment: StateEnvironment, verdicts: Verdicts) -> KsnParts:
    """Return the parts. Connects to nothing. Raises KsnUnusable, and StateError."""
    policies, ledger = PolicyStore(environment, time.time), LedgerStore(environment)
    positions = PositionStore(environment)
    participants = Participants(provider_terms(settings), policies.policies())
    if not settings.enabled:
        return KsnParts(settings, policies, participants)
    service, place = _service(settings)
    written = DisclosureLedger(ledger, time.time)
    asking = Asking(
        service,
        Breaker(_breaker_terms(settings.breaker), time.monotonic),
        Quota(QuotaTerms(settings.per_minute, settings.per_day), time.monotonic),
        written,
        AskingTerms(
            share=settings.budget_share,
            longest_seconds=settings.longest_seconds,
            under_way=settings.under_way,
            per_guest=settings.open_questions,
        ),
    )
    network = Ksn(asking, written, participants, verdicts, time.time)
    feed = _feed(network, place, positions) if Call.CHANGES in service.capabilities else None
    return KsnParts(settings, policies, participants, network, place, feed)


def _service(settings: KsnSettings) -> tuple[ReputationService, Place]:
    """Return the driver of the service, and where that is. Raises KsnUnusable."""
    # Here and not above: an SVM without KSN is spared the HTTP library, some 15 MB.
    from appliance.ksn.opentip import GLOBAL_KSN, BadEndpoint, Endpoint, OpenTip  # noqa: PLC0415

    key = settings.api_key_file
    endpoint = Endpoint(
        settings.endpoint or GLOBAL_KSN,
        "" if key is None else _read(key, MAX_KEY_BYTES, "ksn.api_key_file").strip(),
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
    return service, Place(endpoint.base_url, tls, proxied=endpoint.proxy is not None)


def _breaker_terms(settings: BreakerSettings) -> BreakerTerms:
    return BreakerTerms(
        in_a_row=settings.in_a_row,
        slow_seconds=settings.slow_seconds,
        pause_seconds=settings.pause_seconds,
        longest_pause_seconds=settings.longest_pause_seconds,
    )


def _feed(network: Ksn, place: Place, positions: PositionStore) -> ChangeFeed:
    """Return what follows the changes of a service; each has a position of its own."""

    async def keep(position: int) -> None:
        with suppress(StateError):  # then it is heard again after a restart
            await asyncio.to_thread(positions.set, place.base_url, position)

    return ChangeFeed(
        network.asking,
        lambda: network.participants.asker_for_all("svm"),
        network.flip,
        lambda: positions.get(place.base_url),
        keep,
    )


def _read(path: Path, most: int, setting: str) -> str:
    """Return the text of a file that a setting names, or raise KsnUnusable."""
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or "it is not UTF-8"
        raise KsnUnusable(f"{setting}: {path} cannot be read: {why}") from error
    if len(raw) > most:
        raise KsnUnusable(f"{setting}: {path} is over {most} bytes: is it the right file?")
    return text
