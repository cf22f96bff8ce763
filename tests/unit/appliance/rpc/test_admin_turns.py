"""How much of the SVM administrators' calls take, all of them together."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise

import pytest

from appliance.config_limits import Limits, TenantLimits
from appliance.domain.caller import Caller, Role
from appliance.rpc.admin_turns import REST, SLICE_SECONDS, Turns
from appliance.rpc.places import NoPlace, Places


def limits(calls: int, of_tenant: int) -> Limits:
    """Without first places."""
    return Limits(admin_calls=calls, first_places=0, tenant=TenantLimits(admin_calls=of_tenant))


class Work:
    """Items each of which takes half a slice, by a clock that only they move. ran: which of which work."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ran: list[str] = []

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def items(self, name: str, count: int) -> Iterator[int]:
        """So many."""
        for number in range(count):
            self.now += SLICE_SECONDS / 2
            self.ran.append(name)
            yield number


async def test_all_items_are_taken_in_order() -> None:
    """None twice, none left out, also where there are none."""
    for count in (0, 1, 2, 3, 7):
        work = Work()
        turns = Turns(clock=work.clock)
        assert await turns.all_of(work.items("a", count)) == list(range(count))


async def test_calls_take_turns_by_slices_and_others_run_in_between() -> None:
    """Whoever wants the loop has it after each slice, however many calls go on."""
    work = Work()
    turns = Turns(clock=work.clock)
    loop = asyncio.get_running_loop()
    calls = [loop.create_task(turns.all_of(work.items(name, 6))) for name in "ab"]
    seen = [0]
    while not all(call.done() for call in calls):
        await asyncio.sleep(0)
        seen.append(len(work.ran))
    assert "".join(work.ran) == "aabbaabbaabb"
    assert max(after - before for before, after in pairwise(seen)) == 2


async def test_there_is_a_rest_behind_each_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """In which nobody else's slice runs either: the longer for being one of many."""
    rests: list[float] = []
    sleep = asyncio.sleep

    async def slept(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", slept)
    work = Work()
    turns = Turns(clock=work.clock)
    await asyncio.gather(*(turns.all_of(work.items(name, 4)) for name in "ab"))
    assert rests == [SLICE_SECONDS * REST] * 4


async def test_who_goes_away_leaves_the_turn_to_others() -> None:
    """Also in its rest."""
    work = Work()
    turns = Turns(clock=work.clock)
    gone = asyncio.get_running_loop().create_task(turns.all_of(work.items("a", 1000)))
    await asyncio.sleep(0)
    gone.cancel()
    assert await turns.all_of(work.items("b", 3)) == [0, 1, 2]


async def test_what_fails_leaves_the_turn_to_others() -> None:
    """The error is the caller's."""
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        await turns.each([0], lambda item: 1 / item)
    assert await turns.all_of("ab") == ["a", "b"]


def test_one_tenant_has_few_of_the_places() -> None:
    """And all tenants leave some to those who run the SVM."""
    turns = Turns(limits(4, 1))
    acme, other, third = (Caller("n", Role.TENANT_ADMIN, name) for name in ("acme", "other", "third"))
    with turns.one(acme):
        with pytest.raises(NoPlace, match=r"^1 calls of administrators are worked on now"), turns.one(acme):
            pass
        with turns.one(other):
            with pytest.raises(NoPlace), turns.one(third):
                pass
            with turns.one(Caller("p", Role.PROVIDER)):
                assert turns.places.taken == 3
    assert turns.places.taken == 0


def test_host_agents_and_auditors_keep_neither_the_provider_out_nor_tenants() -> None:
    """However many there are, and however many processes one has; nor do tenants keep them out."""
    turns, provider = Turns(Limits(first_places=0)), Caller("p", Role.PROVIDER)
    agents = [Caller(f"uid-7.pid-{number}", Role.HOST_AGENT) for number in range(16)]
    auditors = [Caller(f"a{number}", Role.AUDITOR) for number in range(16)]
    admins = [Caller("n", Role.TENANT_ADMIN, f"t{number}") for number in range(16)]
    with ExitStack() as held:

        def had(callers: list[Caller]) -> int:
            """So many of them find a place, and keep it."""
            found = 0
            for caller in callers:
                with suppress(NoPlace):
                    held.enter_context(turns.one(caller))
                    found += 1
            return found

        assert had(agents) == 4
        assert had(auditors) == 4
        assert had(admins) == 4
        assert had([*agents, *auditors, *admins]) == 0
        assert had([provider] * 9) == 4
    with ExitStack() as held:
        assert had(admins) == 8
        assert had(agents) == 4
        assert had([provider] * 9) == 4


def test_who_finds_no_place_is_counted_by_the_setting_that_says_so() -> None:
    """The tenant's where its administrators have all that it may have, else that of everybody's."""
    over: list[str] = []
    turns = Turns(limits(4, 1), over.append)
    acme, other, third = (Caller("n", Role.TENANT_ADMIN, name) for name in ("acme", "other", "third"))
    provider = Caller("p", Role.PROVIDER)
    with turns.one(acme), turns.one(other), turns.one(provider), turns.one(provider):
        assert over == []
        for caller, ends in ((acme, False), (third, False), (provider, False), (third, True)):
            with suppress(NoPlace), turns.one(caller, ends):
                pass
    assert over == ["limits.tenant.admin_calls", "limits.admin_calls", "limits.admin_calls"]


def test_what_ends_something_has_places_of_its_own() -> None:
    """That nobody's other calls take; and of those too a tenant has few."""
    turns = Turns(limits(1, 1))
    acme, other = (Caller("n", Role.TENANT_ADMIN, name) for name in ("acme", "other"))
    with turns.one(Caller("p", Role.PROVIDER)):
        with pytest.raises(NoPlace), turns.one(acme):
            pass
        with turns.one(acme, ends=True):
            with pytest.raises(NoPlace), turns.one(acme, ends=True):
                pass
            with turns.one(other, ends=True):
                assert turns.ending.taken == 2
    assert turns.ending.taken == 0


@pytest.mark.parametrize(
    ("kind", "name", "of_tenant"),
    [
        ("places", "admin_calls", "admin_calls"),
        ("ending", "admin_ending", "admin_calls"),
        ("events", "event_readers", "event_readers"),
        ("scans", "scan_readers", "scan_readers"),
        ("files", "file_readers", "file_readers"),
        ("images", "images", "images"),
    ],
)
def test_each_kind_has_its_settings_and_counts_by_them(kind: str, name: str, of_tenant: str) -> None:
    """How many there are of all, of one tenant, and first ones."""
    over: list[str] = []
    bounds = Limits(**{name: 4}, first_places=1, tenant=TenantLimits(**{of_tenant: 2}))
    places: Places = getattr(Turns(bounds, over.append), kind)
    callers = [Caller("n", Role.TENANT_ADMIN, tenant) for tenant in ("a", "a", "a", "b", "c")]
    with ExitStack() as held:
        for caller in callers:
            with suppress(NoPlace):
                held.enter_context(places.one(caller))
        assert places.taken == 3
    assert over == [f"limits.tenant.{of_tenant}", f"limits.{name}", "limits.first_places"]
