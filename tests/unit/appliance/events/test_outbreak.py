"""Outbreaks."""

from appliance.events.outbreak import MOST_GUESTS, MOST_THREATS, Outbreaks, OutbreakTerms


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_ten_detections_within_ten_minutes_are_one_outbreak() -> None:
    """The tenth raises it, with the guests in which they were; the eleventh does not again."""
    clock = Clock()
    outbreaks = Outbreaks(OutbreakTerms(), clock)
    raised = []
    for number in range(12):
        clock.now += 30
        raised.append(outbreaks.seen("Worm", f"ip-{number % 3}"))
    assert raised[:9] == [()] * 9
    assert sorted(raised[9]) == ["ip-0", "ip-1", "ip-2"]
    assert raised[10:] == [()] * 2


def test_a_guest_that_raised_one_alone_hides_no_others() -> None:
    """It is raised again when twice as many guests have the threat, with all of them."""
    clock = Clock()
    outbreaks = Outbreaks(OutbreakTerms(), clock)
    alone = [outbreaks.seen("Worm", "ip-0") for _ in range(100)]
    assert [guests for guests in alone if guests] == [("ip-0",)]
    spread = [outbreaks.seen("Worm", f"ip-{number}") for number in range(1, 16)]
    assert [len(guests) for guests in spread if guests] == [2, 4, 8, 16]
    assert set(spread[-1]) == {f"ip-{number}" for number in range(16)}
    assert not any(outbreaks.seen("Worm", f"ip-{number}") for number in range(16))


def test_guests_of_before_are_none_of_an_outbreak() -> None:
    """It names those of its time alone."""
    clock = Clock()
    outbreaks = Outbreaks(OutbreakTerms(detections=2, seconds=60), clock)
    outbreaks.seen("Worm", "ip-1")
    clock.now += 61
    outbreaks.seen("Worm", "ip-2")
    assert outbreaks.seen("Worm", "ip-3") == ("ip-2", "ip-3")


def test_nine_within_the_time_are_none() -> None:
    """However long it goes on."""
    clock = Clock()
    outbreaks = Outbreaks(OutbreakTerms(), clock)
    for number in range(100):
        clock.now += 600 / 9 + 1
        assert outbreaks.seen("Worm", f"ip-{number}") == ()


def test_an_outbreak_that_goes_on_is_raised_again_in_the_next_window() -> None:
    """Once in each."""
    clock = Clock()
    outbreaks = Outbreaks(OutbreakTerms(detections=2, seconds=60), clock)
    raised = []
    for _ in range(130):
        clock.now += 1
        raised.append(bool(outbreaks.seen("Worm", "ip-1")))
    assert sum(raised) == 3


def test_threats_do_not_add_up() -> None:
    """Five of one and five of another are no outbreak."""
    outbreaks = Outbreaks(OutbreakTerms(), Clock())
    assert not any(outbreaks.seen(f"T{number % 2}", "ip-1") for number in range(18))


def test_threats_without_number_take_bounded_memory() -> None:
    """The one that was seen longest ago is forgotten."""
    outbreaks = Outbreaks(OutbreakTerms(), Clock())
    for number in range(MOST_THREATS + 5):
        outbreaks.seen(f"T{number}", "ip-1")
    assert len(outbreaks._threats) == MOST_THREATS


def test_guests_without_number_take_bounded_memory() -> None:
    """Of one threat so many are told apart."""
    outbreaks = Outbreaks(OutbreakTerms(), Clock())
    for number in range(MOST_GUESTS + 5):
        outbreaks.seen("Worm", f"ip-{number}")
    assert len(outbreaks._threats["", "Worm"].guests) == MOST_GUESTS


def test_each_tenants_guests_are_counted_for_themselves() -> None:
    """Nine in one tenant and nine in another are an outbreak to nobody but who looks at all."""
    outbreaks = Outbreaks(OutbreakTerms(), Clock())
    raised = {"acme": 0, "other": 0, "": 0}
    for number in range(18):
        tenant = ("acme", "other")[number % 2]
        for whose in (tenant, ""):
            raised[whose] += bool(outbreaks.seen("Worm", f"{tenant}-{number}", whose))
    assert raised == {"acme": 0, "other": 0, "": 1}
    assert [outbreaks.spread("Worm", whose) for whose in ("acme", "other", "", "none")] == [9, 9, 18, 0]
