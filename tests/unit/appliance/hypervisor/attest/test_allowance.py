"""How often a machine gets a token."""

from appliance.hypervisor.attest.allowance import Allowance


class Clock:
    """Seconds, as the test sets them."""

    now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_some_at_once_then_one_in_a_while() -> None:
    """And never more at once than at the beginning, however long nothing was asked."""
    clock = Clock()
    allowance = Allowance(clock, burst=3, every_seconds=60)
    assert [allowance.takes() for _ in range(4)] == [True, True, True, False]
    assert allowance.wait() == 60
    clock.now += 59
    assert (allowance.takes(), allowance.wait()) == (False, 1)
    clock.now += 1
    assert [allowance.takes() for _ in range(2)] == [True, False]
    clock.now += 1e6
    assert [allowance.takes() for _ in range(4)] == [True, True, True, False]


def test_what_led_to_nothing_is_given_back() -> None:
    """An SVM that is away costs the machine nothing."""
    allowance = Allowance(Clock(), burst=1, every_seconds=60)
    for _ in range(5):
        assert allowance.takes()
        allowance.give_back()
    assert allowance.takes()
    assert not allowance.takes()
