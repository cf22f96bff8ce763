"""A reputation that flips in a Private KSN: the SVM hears of it, and guests are told within seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from lightagent.v1 import verdict_pb2

from appliance.config import KsnSettings
from appliance.domain.guest import DEFAULT_TENANT_SCOPE, Guest
from appliance.domain.policy import DEFAULT_TENANT, Decision
from appliance.domain.web import UrlAnswer, UrlOutcome
from appliance.ksn_control import PolicyControl
from appliance.private_ksn import flips as private_ksn_flips
from appliance.private_ksn.reputation import Zone
from appliance.private_ksn.store import Store
from appliance.rpc.ksn_views import PolicyChange, PolicyDraft
from appliance.state.ledger import LedgerStore
from tests.support import private_ksn
from tests.support.ksn import ACTOR, decision
from tests.support.protected import protected
from tests.support.svm import RawGuest, Svm, digest_of, running_svm, until

GOOD = b"innocent content"
DIGEST = digest_of(GOOD)


@dataclass
class Flipping:
    """An SVM, and the Private KSN that it asks."""

    svm: Svm
    store: Store
    served: private_ksn.Served

    def say(self, zone: Zone) -> None:
        """Have the feed say this of DIGEST."""
        private_ksn.feed(self.store, "feed", {DIGEST.hex(): zone})
        self.served.service.look_for_changes()

    async def check(self, url: str) -> UrlAnswer:
        """What a guest of the usual tenant is told of a web address."""
        return await self.svm.parts.web.check(Guest("guest", DEFAULT_TENANT_SCOPE), url, 10.0)

    async def heard(self, count: int) -> None:
        """Return when so many changes came."""
        feed = self.svm.parts.ksn.feed
        assert feed is not None
        await until(lambda: feed.heard >= count, "the change is heard")


@asynccontextmanager
async def flipping(directory: Path) -> AsyncIterator[Flipping]:
    """A real Private KSN with a feed of one digest, and an SVM whose tenant takes part."""
    store = Store.open(directory / "data")
    chosen = private_ksn.settings(directory)
    try:
        async with private_ksn.serving(store, chosen) as served:
            (directory / "key").write_text(private_ksn.KEY)
            ksn = KsnSettings(
                enabled=True,
                type="private",
                endpoint=f"http://127.0.0.1:{served.ports[0]}/api/v1/",
                api_key_file=directory / "key",
                per_minute=0,
            )
            async with running_svm(directory / "svm", ksn=ksn) as svm:
                control = PolicyControl(svm.parts.ksn)
                await control.create_policy(PolicyDraft(DEFAULT_TENANT, decision()), ACTOR)
                feed = svm.parts.ksn.feed
                assert feed is not None
                await until(lambda: feed.position is not None, "it follows the changes")
                yield Flipping(svm, store, served)
    finally:
        store.close()


async def test_a_digest_that_turns_malicious_is_revoked(tmp_path: Path) -> None:
    """It was scanned here and nothing found; now KSN says Red: whoever keeps our answer is told."""
    async with flipping(tmp_path) as flips, RawGuest.connect(flips.svm) as guest:
        reply = await guest.ask(DIGEST)
        asked = await guest.answer(reply.request_id)
        assert (await guest.send(asked.detail.lease, GOOD)).outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        flips.say(Zone.RED)
        revocation = await asyncio.wait_for(guest.attach.read(), 30)
        assert list(revocation.revocation.sha256) == [DIGEST]
        assert (await guest.ask(DIGEST)).outcomes[0] == verdict_pb2.OUTCOME_MALICIOUS


async def test_a_guest_that_was_away_is_told_when_it_comes_back(tmp_path: Path) -> None:
    """What it keeps of before counts no more."""
    async with flipping(tmp_path) as flips:
        async with RawGuest.connect(flips.svm) as guest:
            reply = await guest.ask(DIGEST)
            asked = await guest.answer(reply.request_id)
            await guest.send(asked.detail.lease, GOOD)
        flips.say(Zone.RED)
        await flips.heard(1)
        assert flips.svm.parts.protection.void_digests(16) == {DIGEST}
        assert flips.svm.parts.protection.void_digests(17) == set()


async def test_a_file_that_was_written_once_is_quarantined_when_its_digest_turns_malicious(
    tmp_path: Path,
) -> None:
    """By a real stub on the real kernel; nobody has opened it since."""
    settings = '[on_access]\naction = "quarantine"'
    async with (
        flipping(tmp_path) as flips,
        protected(tmp_path, flips.svm.target, settings=settings) as machine,
    ):
        await machine.says("the SVM answers")
        await machine.run("sh", "-c", f"printf '%s' '{GOOD.decode()}' > {machine.top}/file")
        store = flips.svm.parts.store
        await until(lambda: store.lookup(DEFAULT_TENANT_SCOPE, [DIGEST])[0] is not None, "it was looked at")
        flips.say(Zone.RED)
        await machine.says(f"quarantined {machine.top}/file")


async def test_a_digest_that_is_cleared_is_told_too(tmp_path: Path) -> None:
    """From Red to Green, and to nothing at all: the next question begins anew."""
    async with flipping(tmp_path) as flips, RawGuest.connect(flips.svm) as guest:
        flips.say(Zone.RED)
        await flips.heard(1)
        reply = await guest.ask(DIGEST)
        assert (await guest.answer(reply.request_id)).outcome == verdict_pb2.OUTCOME_MALICIOUS
        flips.say(Zone.GREEN)
        await asyncio.wait_for(guest.attach.read(), 30)
        assert (await guest.ask(DIGEST)).outcomes[0] == verdict_pb2.OUTCOME_CLEAN
        flips.say(Zone.GREY)
        await asyncio.wait_for(guest.attach.read(), 30)
        assert (await guest.ask(DIGEST)).outcomes[0] == verdict_pb2.OUTCOME_PENDING


async def test_what_a_feed_has_of_addresses_is_found(tmp_path: Path) -> None:
    """However the feed spells them: roots by their host, whatever the port; paths by their normal form."""
    listed = ("http://203.0.113.77:38372/", "http://root1.example.com/", "http://h.example//a/../[x]\\{y}")
    asked = ("http://3405803853/other", "https://root1.example.com/x?y", "http://h.example/%5bx]/{y}")
    async with flipping(tmp_path) as flips:
        private_ksn.feed(flips.store, "urls", dict.fromkeys(listed, Zone.RED))
        for url in (*listed, *asked):
            assert (await flips.check(url)).outcome is UrlOutcome.MALICIOUS, url


async def test_a_long_url_that_is_cleared_is_told(tmp_path: Path) -> None:
    """The service keeps its digest alone, and the SVM finds what it keeps by that."""
    url = "http://long.example/" + "x" * 600
    async with flipping(tmp_path) as flips:
        private_ksn.feed(flips.store, "urls", {url: Zone.RED})
        assert (await flips.check(url)).outcome is UrlOutcome.MALICIOUS
        private_ksn.feed(flips.store, "urls", {url: Zone.GREY})
        flips.served.service.look_for_changes()
        await flips.heard(2)
        assert (await flips.check(url)).outcome is UrlOutcome.UNKNOWN


async def test_who_takes_part_no_more_hears_no_more(tmp_path: Path) -> None:
    """The request that waits ends with the consent of the last."""
    async with flipping(tmp_path) as flips:
        await until(lambda: flips.served.service.waiting == 1, "it waits for a change")
        control = PolicyControl(flips.svm.parts.ksn)
        change = PolicyChange(decision=decision(Decision.DECLINE))
        await control.change_policy(DEFAULT_TENANT, change, ACTOR)
        store = LedgerStore(flips.svm.parts.state.environment)
        await until(lambda: _results(store)[-1:] == ["cancelled"], "the request has ended")
        await until(lambda: flips.served.service.waiting == 0, "the service has seen it end")
        assert _results(store).count("cancelled") == 1


def _results(store: LedgerStore) -> list[str]:
    return [entry.payload["result"] for entry in store.entries() if entry.payload["kind"] == "result"]


async def test_after_changes_were_missed_nothing_that_was_learnt_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What KSN vouched for and what it did not know are asked about anew; guests hear that theirs is void."""
    passed = b"innocent so far"
    other = digest_of(passed)
    async with flipping(tmp_path) as flips, RawGuest.connect(flips.svm) as guest:
        flips.say(Zone.GREEN)
        await flips.heard(1)
        asked = await guest.ask(DIGEST)
        assert (await guest.answer(asked.request_id)).outcome == verdict_pb2.OUTCOME_CLEAN
        asked = await guest.ask(other)
        lease = (await guest.answer(asked.request_id)).detail.lease
        assert (await guest.send(lease, passed)).outcome == verdict_pb2.OUTCOME_NOT_DETECTED
        monkeypatch.setattr(private_ksn_flips, "KEPT_CHANGES", 1)  # an import that changes more than are kept
        private_ksn.feed(flips.store, "feed", {DIGEST.hex(): Zone.RED, other.hex(): Zone.RED})
        flips.served.service.look_for_changes()
        told = await asyncio.wait_for(guest.attach.read(), 30)
        assert told.generation.generation not in (0, guest.generation)
        asked = await guest.ask(DIGEST)
        assert (await guest.answer(asked.request_id)).outcome == verdict_pb2.OUTCOME_MALICIOUS
        revoked: set[bytes] = set()
        while revoked != {DIGEST, other}:  # also the one that it has asked about: others may have the file
            revoked.update((await asyncio.wait_for(guest.attach.read(), 30)).revocation.sha256)
        assert (await guest.ask(other)).outcomes[0] == verdict_pb2.OUTCOME_MALICIOUS
