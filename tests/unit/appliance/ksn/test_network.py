"""Tests of appliance/ksn/network.py; what it does with a real service is in tests/integration/test_ksn.py."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from appliance.domain.guest import KSN_SHARED_SCOPE, Guest
from appliance.domain.outcome import Disposition, Source
from appliance.domain.policy import Mode
from appliance.domain.verdict import Verdict
from appliance.ksn.asker import Unknown
from appliance.ksn.asking import Asking
from appliance.ksn.at_home import AT_HOME
from appliance.ksn.breaker import Breaker, BreakerTerms
from appliance.ksn.ledger import DisclosureLedger
from appliance.ksn.network import MOST_UNKNOWN, Ksn
from appliance.ksn.participation import Participants, ProviderTerms
from appliance.ksn.quota import AskingTerms, Quota, QuotaTerms
from appliance.ksn.reputation import Answer, Call, Changes, Flip, Request, Trouble
from appliance.ksn.zones import Zone
from tests.support.svm import until
from tests.unit.appliance.ksn.test_participation import TERMS, policy

DIGEST = b"d" * 32
GUEST = Guest("g", 16)


class Service:
    """Says what the test tells it."""

    name = "service"
    capabilities = frozenset(Call)

    def __init__(self) -> None:
        """Say Red at first."""
        self.answer = Answer(Zone.RED, "Threat", "Category")
        self.asked: list[Request] = []

    async def ask(self, request: Request, seconds: float) -> Answer:
        """Answer at once."""
        self.asked.append(request)
        return self.answer

    async def send(self, request: Request, seconds: float) -> None:
        """Take it."""

    async def changes(self, request: Request, seconds: float) -> Changes:
        """None."""
        return Changes(0)

    async def close(self) -> None:
        """Nothing to let go of."""


class Writer:
    """Keeps what is appended in memory."""

    def __init__(self) -> None:
        """Begin empty."""
        self.payloads: list[Mapping[str, Any]] = []

    def append(self, payloads: Sequence[Mapping[str, Any]]) -> int:
        """Take them."""
        self.payloads += payloads
        return len(self.payloads) - len(payloads) + 1


class Network:
    """A Ksn over a service of the test's own, and what it has learnt."""

    def __init__(self, terms: ProviderTerms = TERMS, per_day: int = 0) -> None:
        """terms: of the provider."""
        self.service, self.now = Service(), 3600.0 * 1000
        self.told: list[tuple[int, bytes, Verdict]] = []
        self.flips: list[tuple[list[int], bytes, Verdict | None]] = []
        self.done = 0
        ledger = DisclosureLedger(Writer(), lambda: self.now)
        breaker = Breaker(BreakerTerms(), lambda: self.now)
        asking = Asking(
            self.service, breaker, Quota(QuotaTerms(0, per_day), lambda: self.now), ledger, AskingTerms()
        )
        participants = Participants(terms, [policy()])
        self.ksn = Ksn(asking, ledger, participants, self, lambda: self.now)

    def learned(self, *what: Any) -> None:
        """Keep what is told."""
        self.told.append(what)

    def flipped(self, *what: Any) -> None:
        """Keep what is told."""
        self.flips.append(what)

    def found_nothing(self, scope: int, digest: bytes) -> bool:
        """Nothing else is known of anything."""
        return True

    async def ask(self, digest: bytes = DIGEST) -> None:
        """Ask, and wait until it is over."""
        before = self.done

        def done() -> None:
            self.done += 1

        self.ksn.ask(GUEST, digest, 10.0, done)
        await until(lambda: self.done > before, "the question is over")


@pytest.mark.parametrize(("shared", "scope"), [(False, 16), (True, KSN_SHARED_SCOPE)])
async def test_what_is_known_is_told(shared: bool, scope: int) -> None:
    """As a verdict of KSN's, for as long as its zone says, to those who may see it."""
    network = Network(ProviderTerms(True, TERMS.type, shared=shared))
    await network.ask()
    ((where, digest, verdict),) = network.told
    assert (where, digest) == (scope, DIGEST)
    assert (verdict.disposition, verdict.source, verdict.engine) == (Disposition.MALICIOUS, Source.KSN, "ksn")
    assert (verdict.threat, verdict.category) == ("Threat", "Category")
    assert 0.9 * 12 * 3600 <= verdict.expires_at - network.now <= 1.1 * 12 * 3600
    assert network.ksn.counts["known"] == 1


async def test_a_detection_always_has_a_name() -> None:
    """The service need not give one."""
    network = Network()
    network.service.answer = Answer(Zone.YELLOW)
    await network.ask()
    assert network.told[0][2].threat == "KSN.Yellow"


async def test_what_ksn_does_not_know_is_not_asked_again_for_a_while() -> None:
    """Nothing is told, and the next question is not worth asking until the time is over."""
    network = Network()
    network.service.answer = Answer(Zone.NOT_FOUND)
    assert network.ksn.would_ask(GUEST, DIGEST)
    await network.ask()
    assert network.told == []
    assert not network.ksn.would_ask(GUEST, DIGEST)
    network.now += 3600
    assert network.ksn.would_ask(GUEST, DIGEST)


async def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten."""
    network = Network()
    for number in range(MOST_UNKNOWN + 1):
        network.ksn._remember_unknown(16, number.to_bytes(32, "big"), network.now + 1)
    assert len(network.ksn._unknown) == MOST_UNKNOWN
    assert network.ksn.would_ask(GUEST, bytes(32))


def test_only_who_takes_part_would_ask() -> None:
    """Another scope has no policy."""
    network = Network()
    assert not network.ksn.would_ask(Guest("g", 17), DIGEST)
    assert not network.ksn.takes_part(17)


def test_common_contents_are_not_asked_about() -> None:
    """The empty file first of all."""
    network = Network()
    assert not any(network.ksn.would_ask(GUEST, digest) for digest in AT_HOME)
    assert network.ksn.counts["not_worth_asking"] == len(AT_HOME)


async def test_a_spent_quota_asks_nothing_and_is_said() -> None:
    """There is one question a day, and it was asked."""
    network = Network(per_day=1)
    await network.ask()
    assert not network.ksn.would_ask(GUEST, b"e" * 32)
    assert "quota is spent" in network.ksn.participation(16).reasons[0][1]


async def test_what_got_no_answer_is_told_with_the_reason() -> None:
    """So that it can be asked about later."""
    network = Network(per_day=1)
    told: list[object] = []
    network.ksn.on_unanswered.append(lambda *what: told.append(what))
    await network.ask()
    assert told == []
    await network.ask(b"e" * 32)
    assert told == [(16, b"e" * 32, Trouble.QUOTA)]


async def test_what_ksn_has_not_spoken_of_is_open() -> None:
    """Not what it does not know, and not what everybody has."""
    network = Network()
    assert network.ksn.is_open(16, DIGEST)
    assert not any(network.ksn.is_open(16, digest) for digest in AT_HOME)
    network.service.answer = Answer(Zone.GREY)
    await network.ask()
    assert not network.ksn.is_open(16, DIGEST)


async def test_who_may_not_ask_does_not() -> None:
    """The question is over at once, and nothing was sent."""
    network = Network()
    network.ksn.participants.put(policy(active=False))
    await network.ask()
    assert network.service.asked == []


async def test_what_was_begun_before_consent_was_withdrawn_does_not_go_out() -> None:
    """The gate is asked again, however late."""
    network = Network()
    asker = network.ksn.participants.asker(GUEST)
    assert asker is not None
    assert asker.mode is Mode.STANDARD
    network.ksn.participants.put(policy(active=False))
    outcome = await network.ksn.look_up(asker, DIGEST, 10.0)
    assert isinstance(outcome, Unknown)
    assert (outcome.why, network.service.asked) == (Trouble.WITHDRAWN, [])
    assert network.told == []


@pytest.mark.parametrize(
    ("zone", "disposition"), [(Zone.RED, Disposition.MALICIOUS), (Zone.GREY, None), (None, None)]
)
async def test_what_changed_is_told_for_all_who_take_part(
    zone: Zone | None, disposition: Disposition | None
) -> None:
    """With the verdict that it is now, or none; and it may be asked about again."""
    network = Network()
    network.service.answer = Answer(Zone.NOT_FOUND)
    await network.ask()
    network.ksn.flip(Flip(Call.HASH, DIGEST.hex(), zone))
    ((scopes, digest, verdict),) = network.flips
    assert (scopes, digest) == ([16, KSN_SHARED_SCOPE], DIGEST)
    assert (None if verdict is None else verdict.disposition) is disposition
    assert network.ksn.would_ask(GUEST, DIGEST)


async def test_a_change_is_kept_under_the_name_that_it_came_with() -> None:
    """As an answer would be: its threat, and what software it is."""
    network = Network()
    network.ksn.flip(Flip(Call.HASH, DIGEST.hex(), Zone.RED, "Trojan.X", "Backdoor", "Setup 1"))
    verdict = network.flips[0][2]
    assert verdict is not None
    assert (verdict.threat, verdict.category) == ("Trojan.X", "Setup 1, Backdoor")


@pytest.mark.parametrize("value", ["ab" * 16, "no digest", ""])
def test_what_is_no_digest_of_ours_changes_nothing(value: str) -> None:
    """Other hashes are heard of too."""
    network = Network()
    heard: list[Flip] = []
    network.ksn.on_flip.append(heard.append)
    flips = [Flip(Call.HASH, value, Zone.RED), Flip(Call.URL, "http://a.example/", Zone.RED)]
    for flip in flips:
        network.ksn.flip(flip)
    assert (network.flips, heard) == ([], flips)
