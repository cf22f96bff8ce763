"""How much may be asked."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from appliance.ksn.asker import Standing
from appliance.ksn.quota import DAY, MINUTE, Quota, QuotaTerms
from appliance.ksn.reputation import Call
from tests.support.properties import patient

HOUSE = Standing.HOUSE.value


class Clock:
    """Time that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def made(per_minute: int, per_day: int, share: float = 1) -> tuple[Quota, Clock]:
    """A quota and its clock."""
    clock = Clock()
    return Quota(QuotaTerms(per_minute, per_day, 60, 200, share), clock), clock


def test_a_minute_is_full_and_has_room_again() -> None:
    """It says when, and keeps its word."""
    quota, clock = made(2, 0)
    assert [quota.take(), quota.take(), quota.take()] == [True, True, False]
    clock.now += 20
    assert quota.seconds_to_room() == 40
    clock.now += 40
    assert quota.take()


def test_a_day_is_full_however_few_were_asked_in_a_minute() -> None:
    """Both count, and what is left can be shown."""
    quota, clock = made(2, 3)
    for _ in range(3):
        assert quota.take()
        clock.now += MINUTE
    assert (quota.take(), quota.left_today()) == (False, 0)
    assert quota.seconds_to_room() == DAY - 3 * MINUTE
    clock.now += quota.seconds_to_room()
    assert quota.left_today() == 1


def test_zero_is_as_many_as_one_likes() -> None:
    """Nothing is counted."""
    quota, _ = made(0, 0)
    assert all(quota.take() for _ in range(10_000))
    assert quota.left_today() is None


def test_what_an_earlier_run_sent_counts() -> None:
    """Until a day has passed; of more than is allowed now the newest, which is all that there is room for."""
    quota, clock = made(0, 10, share=0.2)
    quota.restore([(DAY - 100 - number, "a") for number in range(20)])
    assert (quota.left_today(), quota.take(HOUSE)) == (0, False)
    assert quota.seconds_to_room(HOUSE) == 110
    clock.now += 120
    assert (quota.left_today(), quota.take("a"), quota.take("b")) == (10, True, True)


def test_an_earlier_runs_share_is_used() -> None:
    """By the same user, and by nobody else."""
    quota, _ = made(0, 10, share=0.2)
    quota.restore([(50, "a"), (40, "a")])
    assert (quota.over_share("a"), quota.take("a"), quota.take("b")) == ("day", False, True)


def test_what_was_not_sent_is_given_back() -> None:
    """Another may go out in its place."""
    quota, _ = made(1, 1)
    assert quota.take()
    quota.give_back()
    assert quota.take()


def test_no_guest_uses_more_than_its_share() -> None:
    """Of a minute, and of a day; it is said which, others have room, and time gives it back."""
    quota, clock = made(20, 24, 0.25)
    assert [quota.take("a") for _ in range(6)] == [True] * 5 + [False]
    assert (quota.over_share("a"), quota.over_share("b")) == ("minute", "")
    assert quota.take("b")
    clock.now += MINUTE
    assert quota.take("a")
    assert (quota.take("a"), quota.over_share("a")) == (False, "day")
    assert quota.take("b")
    clock.now += DAY
    assert quota.take("a")


def test_what_is_asked_later_has_a_quarter() -> None:
    """However large a guest's share is."""
    quota, _ = made(20, 0, 1)
    assert [quota.take(Standing.LATER) for _ in range(6)] == [True] * 5 + [False]
    assert quota.take("a")


def test_the_least_share_is_one() -> None:
    """Otherwise a small quota could not be used at all."""
    quota, _ = made(1, 0, 0.01)
    assert quota.take("a")


def test_guests_leave_a_tenth_to_the_house() -> None:
    """All together, also where each may use all; it says when there is room for them again."""
    quota, clock = made(20, 0)
    assert quota.take(HOUSE)
    clock.now += 10
    assert sum(quota.take(f"guest {number}") for number in range(30)) == 18
    assert (quota.is_full("a"), quota.is_full(HOUSE)) == (True, False)
    assert (quota.seconds_to_room("a"), quota.seconds_to_room(HOUSE)) == (MINUTE, 0)
    assert [quota.take(HOUSE), quota.take(HOUSE)] == [True, False]
    assert quota.seconds_to_room(HOUSE) == MINUTE - 10


def test_what_is_given_back_is_his_who_took_it() -> None:
    """Though another has taken something since."""
    quota, _ = made(4, 0, 0.5)
    for payer in ("a", "a", "b"):
        assert quota.take(payer)
    quota.give_back("a")
    assert [quota.over_share(payer) for payer in "ab"] == ["", ""]
    assert quota.take("a")
    assert quota.take("b")
    assert not quota.take("c")


def test_nobody_is_remembered_who_has_used_nothing() -> None:
    """However many have asked, and however many only look."""
    quota, clock = made(1000, 0)
    for number in range(100):
        assert quota.take(f"guest {number}")
        assert not quota.over_share(f"another {number}")
    clock.now += MINUTE
    assert not quota.is_full("a")
    assert len(quota._minute._used) == 0


def test_a_service_that_has_enough_is_left_alone() -> None:
    """Longer each time up to a bound; the answer of one that serves again shortens it."""
    quota, clock = made(0, 0)
    pauses = []
    for _ in range(4):
        quota.spent()
        pauses.append(quota.seconds_to_room())
        assert not quota.take()
        clock.now += pauses[-1]
    quota.served()
    quota.spent()
    assert [*pauses, quota.seconds_to_room()] == [60, 120, 200, 200, 60]


def test_what_was_under_way_does_not_lengthen_or_end_the_pause() -> None:
    """Ten requests that are refused together are one refusal, and a late answer changes nothing."""
    quota, clock = made(0, 0)
    tell: list[Callable[[], None]] = [*[quota.spent] * 10, quota.served, quota.spent]
    for say in tell:
        say()
    assert quota.seconds_to_room() == 60
    clock.now += 60
    quota.spent()
    assert quota.seconds_to_room() == 120


def test_what_is_turned_away_by_itself_waits_by_itself() -> None:
    """Contents for which there is no room say nothing of questions; a spent quota is one for all."""
    quota, clock = made(0, 0)
    quota.spent(Call.SUBMIT)
    assert (quota.seconds_turned_away(Call.SUBMIT), quota.seconds_to_room()) == (60, 0)
    assert [quota.seconds_turned_away(call) for call in (Call.HASH, Call.STATISTICS)] == [0, 0]
    clock.now += 60
    quota.spent(Call.SUBMIT)
    assert quota.seconds_turned_away(Call.SUBMIT) == 120
    quota.spent(Call.URL)
    assert [quota.seconds_turned_away(call) for call in (Call.HASH, Call.STATISTICS)] == [60, 60]
    clock.now += 120
    quota.served(Call.HASH)
    quota.spent(Call.SUBMIT)
    assert quota.seconds_turned_away(Call.SUBMIT) == 200
    clock.now += 200
    quota.served(Call.SUBMIT)
    quota.spent(Call.SUBMIT)
    assert quota.seconds_turned_away(Call.SUBMIT) == 60


@given(st.integers(1, 4), st.lists(st.floats(0, 50), max_size=60))
@patient
def test_in_no_minute_more_goes_out_than_may(limit: int, waits: list[float]) -> None:
    """Whenever it is asked, not even across the end of a minute."""
    quota, clock = made(limit, 0)
    sent = []
    for seconds in waits:
        clock.now += seconds
        if quota.take():
            sent.append(clock.now)
    for first, beyond in zip(sent, sent[limit:], strict=False):
        assert beyond >= first + MINUTE
