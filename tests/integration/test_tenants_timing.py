"""A digest that one tenant knows answers another like one that nobody knows: in its words, and in its time.

No time is compared with a number of seconds. Of two kinds of questions, asked in turn, it is looked how often
one of the first kind takes longer than one of the second: half of the time where they are alike, as the U of
Mann and Whitney has it.
"""

import asyncio
import random
import time
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lightagent.v1 import guest_pb2, verdict_pb2

from appliance.domain.guest import Guest
from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Answer, Verdict
from appliance.protection import MISS, Protection
from tests.support.svm import RawGuest, Svm, digest_of, until
from tests.support.tenants import Tenancy, tenancy

NEEDED, NOT_DETECTED = verdict_pb2.OUTCOME_CONTENT_NEEDED, verdict_pb2.OUTCOME_NOT_DETECTED
ALIKE = 0.15  # that the share of longer ones may differ from a half; 0.024 is usual for 300 of each
ASKED_AT_ONCE = 40
ACME, OTHER = Guest("ours", 17, "acme"), Guest("guest-of-theirs", 18, "other")


def longer(first: Sequence[float], second: Sequence[float]) -> float:
    """Of all pairs of a time of the first and one of the second kind, the share where the first is longer."""
    ordered = sorted(second)
    below = sum(bisect_left(ordered, each) + bisect_right(ordered, each) for each in first)
    return below / (2 * len(first) * len(ordered))


def in_turn(pairs: int) -> list[tuple[int, int]]:
    """Which kind is asked, and of which pair it is: in a random order within each pair."""
    source = random.Random(5)
    return [(kind, number) for number in range(pairs) for kind in source.sample((0, 1), 2)]


@dataclass(eq=False)
class Asker:
    """A waiter that is told, and does nothing."""

    guest_id: str
    answers: list[Answer] = field(default_factory=list)

    def content_needed(self, token: int, lease: int) -> None:
        """Be asked for content."""

    def settled(self, token: int, answer: Answer) -> None:
        """Be answered."""
        self.answers.append(answer)


def contents(kind: str, count: int) -> list[bytes]:
    """Contents that differ."""
    return [f"{kind} {number}".encode() for number in range(count)]


def keep(svm: Svm, digests: Sequence[bytes], scope: int) -> None:
    """Have a tenant know digests."""
    hour = int(time.time()) // 3600 * 3600
    for digest in digests:
        verdict = Verdict(
            Disposition.NOT_DETECTED, Source.ENGINE, svm.parts.protection.generation, hour, hour + 10**6
        )
        svm.parts.store.put(scope, digest, verdict)
    svm.parts.store.flush()


def asked(protection: Protection, guest: Guest, digest: bytes, asker: Asker) -> tuple[int, float]:
    """Ask as rpc does; the outcome, and how many seconds that takes."""
    begin = time.perf_counter()
    outcome = protection.known(guest, [digest]).outcomes[0]
    if outcome == MISS:
        protection.ask(guest, digest, asker, 1)
    taken = time.perf_counter() - begin
    protection.flights.leave(asker, None)
    return outcome, taken


@pytest.mark.parametrize("guest", [OTHER, ACME], ids=["another tenant", "the same tenant"])
async def test_the_answer_to_another_tenant_takes_as_long_as_to_an_unknown_digest(
    tmp_path: Path, guest: Guest
) -> None:
    """And is the same; the tenant itself is answered otherwise and at another pace: so this would tell."""
    async with tenancy(tmp_path) as here:
        svm = here.ksn.svm
        known, unknown = ([digest_of(each) for each in contents(kind, 600)] for kind in ("known", "unknown"))
        keep(svm, known, ACME.scope)
        await until(lambda: not svm.parts.store.stats().pending, "the verdicts are written")
        await here.ksn.decline("acme")
        await here.ksn.decline("other")
        outcomes: tuple[set[int], set[int]] = set(), set()
        times: tuple[list[float], list[float]] = ([], [])
        asker = Asker(guest.id)
        for kind, number in in_turn(len(known)):
            digest = (known, unknown)[kind][number]
            outcome, taken = asked(svm.parts.protection, guest, digest, asker)
            outcomes[kind].add(outcome)
            times[kind].append(taken)
        share = longer(*times)
        if guest is OTHER:
            assert outcomes == ({MISS}, {MISS})
            assert abs(share - 0.5) < ALIKE
        else:
            assert outcomes == ({int(Disposition.NOT_DETECTED)}, {MISS})
            assert abs(share - 0.5) > 2 * ALIKE


async def on_the_wire(
    here: Tenancy, pairs: int, question: Callable[[RawGuest, bytes], Awaitable[Any]]
) -> tuple[float, list[list[Any]]]:
    """Have another tenant's guest ask something in turn of contents that acme has, and of such as nobody has.

    The share in which the former takes longer, and what came of the questions of each kind.
    """
    known, unknown = contents("known", pairs), contents("unknown", pairs)
    keep(here.ksn.svm, [digest_of(each) for each in known], here.scope_of("acme"))
    times: tuple[list[float], list[float]] = ([], [])
    said: list[list[Any]] = [[], []]
    async with here.guest("guest-of-theirs", "other") as guest:
        for warm in contents("warm", 20):
            await question(guest, warm)
        for kind, number in in_turn(pairs):
            begin = time.perf_counter()
            said[kind].append(await question(guest, (known, unknown)[kind][number]))
            times[kind].append(time.perf_counter() - begin)
            if len(guest.leases) % ASKED_AT_ONCE == 0:
                await close_questions(here, guest)
                await question(guest, f"warm {len(times[0])} {len(times[1])}".encode())
    return longer(*times), said


async def close_questions(here: Tenancy, guest: RawGuest) -> None:
    """Take back what is open, of which a guest may have so much only."""
    guest.check.cancel()
    guest.check = None
    sessions = here.ksn.svm.parts.sessions
    await until(lambda: not any(session.checking for session in sessions.all()), "the questions are closed")


async def lease_for(guest: RawGuest, content: bytes) -> tuple[int, int]:
    """Ask about a content; the outcome, and the lease under which it is to be sent."""
    reply = await guest.ask(digest_of(content))
    assert isinstance(reply, guest_pb2.CheckReply)
    return int(reply.outcomes[0]), int(reply.details[0].lease)


async def test_a_question_over_the_wire_takes_as_long(tmp_path: Path) -> None:
    """A guest is asked for the content at once, whoever else had it looked at."""
    async with tenancy(tmp_path) as here:
        await here.ksn.decline("other")

        async def ask(guest: RawGuest, content: bytes) -> tuple[int, bool]:
            outcome, lease = await lease_for(guest, content)
            return outcome, bool(lease)

        share, said = await on_the_wire(here, 300, ask)
        assert said[0] == said[1] == [(NEEDED, True)] * 300
        assert abs(share - 0.5) < ALIKE


async def test_a_content_takes_as_long_to_be_answered(tmp_path: Path) -> None:
    """It is sent and scanned for this tenant, as if nobody had sent it before."""
    async with tenancy(tmp_path) as here:
        await here.ksn.decline("other")

        async def send(guest: RawGuest, content: bytes) -> int:
            _, lease = await lease_for(guest, content)
            return int((await guest.send(lease, content)).outcome)

        before = here.ksn.svm.parts.protection.counts["contents"]
        share, said = await on_the_wire(here, 60, send)
        assert said[0] == said[1] == [NOT_DETECTED] * 60
        assert here.ksn.svm.parts.protection.counts["contents"] - before >= 20 + 2 * 60
        assert abs(share - 0.5) < 2 * ALIKE  # of 60 each it is 0.053 that is usual


async def test_what_another_tenant_is_having_scanned_is_asked_for_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody joins another tenant's scan: the second is answered while the first is with the engines."""
    content = b"both tenants hold it"
    async with (
        tenancy(tmp_path) as here,
        here.guest("ours", "acme") as ours,
        here.guest("guest-of-theirs", "other") as guest,
    ):
        for tenant in ("acme", "other"):
            await here.ksn.decline(tenant)
        scanner = here.ksn.svm.parts.scanner
        scan, held = scanner.scan, asyncio.get_running_loop().create_future()

        def hold_ours(fd: int, label: Any, *rest: Any) -> Any:
            result = scan(fd, label, *rest)
            if label.scope != here.scope_of("acme"):
                return result
            result.add_done_callback(lambda done: held.set_result(done.result()))
            late = asyncio.get_running_loop().create_future()
            released.append(lambda: late.set_result(held.result()))
            return late

        released: list[Callable[[], None]] = []
        monkeypatch.setattr(scanner, "scan", hold_ours)
        request, (_, lease) = ours.requests + 1, await lease_for(ours, content)
        await ours.upload(ours.parts_of(lease, content))
        await held
        outcome, lease = await lease_for(guest, content)
        assert (outcome, bool(lease)) == (NEEDED, True)
        assert (await guest.send(lease, content)).outcome == NOT_DETECTED
        assert not ours.settled
        released[0]()
        assert (await ours.answer(request)).outcome == NOT_DETECTED


def test_a_share_tells_alike_from_unlike() -> None:
    """A half where both are the same, all or nothing where one kind is always longer."""
    source = random.Random(5)
    same = [[source.random() for _ in range(300)] for _ in range(2)]
    assert abs(longer(*same) - 0.5) < ALIKE
    assert longer([2.0] * 5, [1.0] * 7) == 1.0
    assert longer([1.0] * 5, [2.0] * 7) == 0.0
    assert longer([1.0] * 5, [1.0] * 7) == 0.5
