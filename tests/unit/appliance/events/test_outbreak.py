"""Outbreaks."""

from appliance.events.outbreak import MOST_THREATS, Outbreaks, OutbreakTerms


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
