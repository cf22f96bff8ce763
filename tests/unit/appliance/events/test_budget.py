"""How much of the events one guest may fill."""

from appliance.events.budget import MOST_OWNERS, Budgets, BudgetTerms


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_what_is_over_a_minute_is_refused_and_said_once() -> None:
    """A guest that causes events without end causes one that says so, and has room again a minute later."""
    clock = Clock()
    budgets = Budgets(BudgetTerms(per_minute=3), clock)
    said = [budgets.refusal("ip-1", 100) for _ in range(6)]
    assert [bool(why) for why, _ in said] == [False] * 3 + [True] * 3
    assert [first for _, first in said] == [False] * 3 + [True, False, False]
    clock.now += 60
    assert budgets.refusal("ip-1", 100) == ("", False)


def test_a_day_has_so_many_bytes() -> None:
    """Whatever their pace; the sentence names the setting."""
    clock = Clock()
    budgets = Budgets(BudgetTerms(day_bytes=1000), clock)
    assert budgets.refusal("ip-1", 900) == ("", False)
    why, first = budgets.refusal("ip-1", 200)
    assert "events.guest_daily_mib" in why
    assert first
    assert budgets.refusal("ip-1", 1)[1] is False
    clock.now += 86400
    assert budgets.refusal("ip-1", 900) == ("", False)


def test_one_guest_takes_nothing_from_another() -> None:
    """Each has its own."""
    budgets = Budgets(BudgetTerms(per_minute=1), Clock())
    budgets.refusal("ip-1", 1)
    assert budgets.refusal("ip-1", 1)[0]
    assert budgets.refusal("ip-2", 1) == ("", False)


def test_guests_without_number_take_bounded_memory() -> None:
    """Who was heard of longest ago is forgotten."""
    budgets = Budgets(BudgetTerms(), Clock())
    for number in range(MOST_OWNERS + 10):
        budgets.refusal(f"ip-{number}", 1)
    assert len(budgets._spent) == MOST_OWNERS


def test_what_is_left_is_what_was_not_spent() -> None:
    """Of a day; who had more than that has nothing left, and hears why once."""
    clock = Clock()
    budgets = Budgets(BudgetTerms("what it says", day_bytes=1000), clock)
    budgets.spend("ip-1", 400)
    assert (budgets.left("ip-1"), budgets.left("ip-2")) == (600, 1000)
    assert [budgets.exceeded("ip-1") for _ in range(2)] == [
        (
            "what it says has filled its part of events.guest_daily_mib: the rest of this day is not kept",
            first,
        )
        for first in (True, False)
    ]
    assert budgets.left("ip-1") == 0
    clock.now += 86400
    assert budgets.left("ip-1") == 1000
