"""The bounds on how fast one guest may talk."""

import asyncio

from appliance.rpc.flood import Flood, Turns


class Clock:
    """Time that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_a_burst_of_a_second_passes_and_then_the_pace_holds() -> None:
    """Over the rate, each message waits a little longer; the sum of waits is the pace."""
    clock = Clock()
    flood = Flood(10, clock)
    clock.now += 5
    assert [flood.pause() for _ in range(10)] == [0.0] * 10
    waits = [round(flood.pause(), 6) for _ in range(3)]
    assert waits == [0.1, 0.2, 0.3]


def test_the_first_words_do_not_wait() -> None:
    """A guest that has just come has said nothing yet that could be too much."""
    assert Flood(10, Clock()).pause() == 0.0


def test_a_slow_guest_never_waits() -> None:
    """Under the rate there is no pause, and what was saved up is bounded by one second."""
    clock = Clock()
    flood = Flood(10, clock)
    for _ in range(100):
        clock.now += 0.2
        assert flood.pause() == 0.0
    clock.now += 1000
    assert [flood.pause() > 0 for _ in range(12)].count(True) == 2


def test_what_costs_more_counts_more() -> None:
    """A message that is worth two takes the room of two."""
    clock = Clock()
    flood = Flood(10, clock)
    clock.now += 5
    assert [round(flood.pause(2), 6) for _ in range(5)] == [0.0] * 5
    assert round(flood.pause(2), 6) == 0.2


async def test_a_wait_that_is_given_up_costs_nothing() -> None:
    """Who comes and goes does not owe for what it never said; what passed is owed."""
    clock = Clock()
    flood = Flood(10, clock)
    clock.now += 5
    waited: list[str] = []
    await flood.take(10, lambda: waited.append("no"))
    for _ in range(100):
        task = asyncio.get_running_loop().create_task(flood.take(200, lambda: waited.append("yes")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert waited == ["yes"] * 100
    assert round(flood.pause(), 6) == 0.1


def test_turns_are_each_guests_own() -> None:
    """A guest that has had its turns of a second is refused, and no other."""
    turns = Turns(10, Clock())
    assert [turns.takes("a") for _ in range(12)] == [True] * 10 + [False] * 2
    assert turns.takes("b")


def test_turns_come_back_with_time() -> None:
    """A tenth of a second is a turn of ten a second, and being refused has cost none."""
    clock = Clock()
    turns = Turns(10, clock)
    assert sum(turns.takes("a") for _ in range(1000)) == 10
    clock.now += 0.1
    assert [turns.takes("a") for _ in range(2)] == [True, False]
    clock.now += 1000
    assert sum(turns.takes("a") for _ in range(1000)) == 10


def test_what_turns_remember_is_bounded() -> None:
    """Guests that come and go leave nothing behind; of too many at once the latest are remembered."""
    clock = Clock()
    turns = Turns(1, clock, most=3)
    assert all(turns.takes(f"guest-{number}") for number in range(100))
    assert len(turns) == 3
    assert not turns.takes("guest-99")
    clock.now += 5
    assert turns.takes("another")
    assert len(turns) == 1
