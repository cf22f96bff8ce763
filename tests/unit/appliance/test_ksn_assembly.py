"""Tests of appliance/ksn_assembly.py."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.config import KsnSettings, SubmitSettings
from appliance.domain.guest import DEFAULT_TENANT_SCOPE, Guest
from appliance.domain.participation import KsnState, Reason
from appliance.domain.policy import KsnType, Mode
from appliance.ksn_assembly import KsnParts, KsnUnusable, assemble, provider_terms
from appliance.state.environment import StateDamaged, StateEnvironment
from appliance.state.ledger import LedgerStore
from tests.unit.appliance.ksn.test_participation import policy

PRIVATE = KsnSettings(enabled=True, type="private", endpoint="https://ksn.example.com/api/v1/")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[StateEnvironment]:
    """An empty state."""
    environment = StateEnvironment.open(tmp_path)
    yield environment
    environment.close()


class Nobody:
    """Learns nothing."""

    def learned(self, *_what: Any) -> None:
        """See network.Verdicts."""

    def flipped(self, *_what: Any) -> None:
        """See network.Verdicts."""

    def found_nothing(self, scope: int, digest: bytes) -> bool:
        """See network.Verdicts."""
        return True


def parts(environment: StateEnvironment, settings: KsnSettings) -> KsnParts:
    """The parts."""
    return assemble(settings, environment, Nobody(), lambda _scope, _start, _count: ((), None))


def test_nothing_is_put_together_where_ksn_is_not_enabled(environment: StateEnvironment) -> None:
    """There is a gate, which is closed, and no figure."""
    made = parts(environment, KsnSettings())
    assert (made.network, made.figures()) == (None, {})
    assert "not enabled" in made.participation(16).reasons[0][1]


def test_a_ledger_that_does_not_tell_what_was_spent_is_damage(environment: StateEnvironment) -> None:
    """Whoever starts an SVM reads which file it is, and what to do."""
    LedgerStore(environment).append([{"kind": "request", "at": time.time(), "call": "submit"}])
    with pytest.raises(StateDamaged, match=r"state.lmdb is damaged \(an entry of the ledger has no meaning"):
        parts(environment, PRIVATE)


async def test_a_service_is_known_by_its_host(environment: StateEnvironment) -> None:
    """The ledger has its name; nothing was connected to, and the figures say how it is."""
    made = parts(environment, replace(PRIVATE, per_day=7))
    assert made.network is not None
    assert made.network.asking.service_name == "ksn.example.com"
    figures = made.figures()
    assert (figures["ksn_quota_left"], figures["ksn_usable"], figures["ksn_asked"]) == (7, True, 0)
    await made.network.close()


def test_what_the_provider_has_set_is_taken_over(tmp_path: Path) -> None:
    """Type, limit, locks, and a text of his own."""
    (tmp_path / "addition").write_text("We keep it for a year.\n")
    terms = provider_terms(
        replace(
            PRIVATE,
            mode_limit="extended",
            share_between_tenants=True,
            locked=("mode",),
            submit=SubmitSettings(documents=True),
            statement_addition_file=tmp_path / "addition",
        )
    )
    assert (terms.type, terms.mode_limit, terms.shared) == (KsnType.PRIVATE, Mode.EXTENDED, True)
    assert (terms.locked, terms.documents) == (("mode",), True)
    assert not provider_terms(PRIVATE).documents
    assert "We keep it for a year." in terms.text


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read: No such file"), (b"\xff", "not UTF-8"), (b"x" * 5000, "is over 4096 bytes")],
    ids=["missing", "binary", "large"],
)
def test_a_key_that_cannot_be_read_is_named(
    environment: StateEnvironment, tmp_path: Path, content: bytes | None, why: str
) -> None:
    """By the setting and the file, never by what is in it."""
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
    with pytest.raises(KsnUnusable, match=f"ksn.api_key_file: {key}.*{why}"):
        parts(environment, replace(PRIVATE, api_key_file=key))


async def test_a_guest_is_told_that_it_has_used_its_share(environment: StateEnvironment) -> None:
    """Another guest of the same tenant has something left."""
    made = parts(environment, replace(PRIVATE, per_day=3, guest_share=0.5))
    assert made.network is not None
    made.participants.put(policy())
    asker = made.participants.asker(Guest("uid-7.pid-1", 16))
    assert asker is not None
    assert made.network.asking._quota.take(asker.payer)
    told = made.participation_of(Guest("uid-7.pid-2", 16))
    assert (told.state, told.reasons[0][0]) == (KsnState.RESTRICTED, Reason.QUOTA_SPENT)
    assert "its share of the day's quota" in told.reasons[0][1]
    assert made.participation_of(Guest("uid-8.pid-1", 16)).reasons == ()
    await made.network.close()


async def test_the_key_can_be_read_again(environment: StateEnvironment, tmp_path: Path) -> None:
    """From the file that the settings name."""
    key = tmp_path / "key"
    key.write_text("one\n")
    made = parts(environment, replace(PRIVATE, api_key_file=key))
    assert made.key is not None
    assert made.network is not None
    assert not (await made.key.renew()).changed
    key.write_text("two\n")
    assert (await made.key.renew()).changed
    await made.network.close()


def test_a_certificate_that_is_none_is_named(environment: StateEnvironment, tmp_path: Path) -> None:
    """Before the SVM serves anybody."""
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(KsnUnusable, match=r"ca\.pem"):
        parts(environment, replace(PRIVATE, ca_file=tmp_path / "ca.pem"))


async def test_a_reload_has_everything_asked_again(environment: StateEnvironment) -> None:
    """Changes and statistics too, where the service had said that it does not have them."""
    made = parts(environment, PRIVATE)
    assert made.network is not None
    assert made.feed is not None
    assert made.statistics is not None
    assert made.key is not None
    again: list[str] = []
    made.feed.ask_again = lambda: again.append("changes")  # type: ignore[method-assign]
    made.statistics.ask_again = lambda: again.append("statistics")  # type: ignore[method-assign]
    await made.key.renew()
    assert again == ["changes", "statistics"]
    await made.network.close()


async def test_the_statistics_tell_of_every_question(environment: StateEnvironment) -> None:
    """As the Statement says: also of those about content handed over, and of those asked later."""
    made = parts(environment, PRIVATE)
    assert made.network is not None
    assert made.later is not None
    assert made.results is not None
    assert made.statistics is not None
    for count, asker in ((1, made.network), (2, made.later), (4, made.results)):
        asker.asked_by_scope[DEFAULT_TENANT_SCOPE] = count
    assert made.statistics._totals(DEFAULT_TENANT_SCOPE).asked == 7
    assert made.statistics._totals(DEFAULT_TENANT_SCOPE + 1).asked == 0
    await made.network.close()
