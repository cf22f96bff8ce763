"""Tests of appliance/scanning/blame.py."""

from appliance.domain.outcome import Unanswered
from appliance.scanning.blame import MAX_DIGESTS, Blame

DIGEST = (16, bytes(32))


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_the_second_break_holds_a_digest() -> None:
    """The first is forgiven, the second is not; another digest is not concerned."""
    blame = Blame(600, Clock())
    assert not blame.add(DIGEST, Unanswered.ENGINE_ERROR)
    assert blame.held(DIGEST) is None
    assert blame.add(DIGEST, Unanswered.ENGINE_ERROR)
    held = blame.held(DIGEST)
    assert held is not None
    assert held.why is Unanswered.ENGINE_ERROR
    assert "broke 2 workers" in held.reason
    assert "600 s" in held.reason
    assert blame.held((16, b"x" * 32)) is None


def test_each_tenants_breaks_are_counted_for_themselves() -> None:
    """What one tenant's guests did with a content is not told to another's by how it is answered."""
    blame = Blame(600, Clock())
    blame.add(DIGEST, Unanswered.ENGINE_ERROR)
    blame.add(DIGEST, Unanswered.ENGINE_ERROR)
    assert blame.held(DIGEST) is not None
    assert blame.held((17, DIGEST[1])) is None
    assert not blame.add((17, DIGEST[1]), Unanswered.ENGINE_ERROR)


def test_a_hold_ends() -> None:
    """After the time the digest may be scanned again, and starts from nothing."""
    clock = Clock()
    blame = Blame(600, clock)
    blame.add(DIGEST, Unanswered.TIMED_OUT)
    blame.add(DIGEST, Unanswered.TIMED_OUT)
    clock.now += 599
    held = blame.held(DIGEST)
    assert held is not None
    assert held.why is Unanswered.TIMED_OUT
    clock.now += 1
    assert blame.held(DIGEST) is None
    assert not blame.add(DIGEST, Unanswered.TIMED_OUT)


def test_breaks_far_apart_do_not_add_up() -> None:
    """A break that is older than the hold is forgotten."""
    clock = Clock()
    blame = Blame(600, clock)
    blame.add(DIGEST, Unanswered.ENGINE_ERROR)
    clock.now += 600
    assert not blame.add(DIGEST, Unanswered.ENGINE_ERROR)


def test_memory_is_bounded() -> None:
    """The oldest give way when more digests break workers than are remembered; what is over goes first."""
    clock = Clock()
    blame = Blame(600, clock)
    for number in range(MAX_DIGESTS + 10):
        blame.add((16, number.to_bytes(32, "big")), Unanswered.ENGINE_ERROR)
    assert len(blame) == MAX_DIGESTS
    assert not blame.add((16, (0).to_bytes(32, "big")), Unanswered.ENGINE_ERROR)
    clock.now += 600
    blame.add(DIGEST, Unanswered.ENGINE_ERROR)
    assert len(blame) == 1
