"""Tests of contents that need not be asked about again."""

import pytest

from guest_stub.on_access.recent import MOST, SECONDS, Recent
from guest_stub.outcome import DETECTIONS, VERDICTS, Outcome
from guest_stub.svm_link.values import LinkAnswer

ANSWER = LinkAnswer(Outcome.NOT_DETECTED, 7, 100.0)
SHA256 = bytes(32)


class World:
    """What the tested thing is told of."""

    def __init__(self) -> None:
        """Generation 7, at the beginning of time."""
        self.generation = 7
        self.now = 0.0
        self.doubted: set[bytes] = set()
        self.recent = Recent(lambda: self.generation, self.doubted.__contains__, lambda: self.now)


@pytest.fixture
def world() -> World:
    """What is tested, and its surroundings."""
    return World()


def test_what_was_said_is_said_again_for_as_long_as_it_counts(world: World) -> None:
    """With the time that is left; then the content is asked about anew."""
    world.recent.keep(SHA256, ANSWER)
    world.now = 40.0
    assert world.recent.recall(SHA256) == ANSWER._replace(valid_for=60.0)
    world.now = 100.0
    assert world.recent.recall(SHA256) is None


def test_each_content_has_what_was_said_of_it(world: World) -> None:
    """Also where others, of which something else was said, came before it and after."""
    other = ANSWER._replace(category="adware", valid_for=50.0)
    said = [ANSWER, other, ANSWER, other._replace(valid_for=70.0)]
    for number, answer in enumerate(said):
        world.recent.keep(bytes([number]), answer)
    assert [world.recent.recall(bytes([number])) for number in range(len(said))] == said


def test_nothing_is_kept_for_long(world: World) -> None:
    """Whatever the SVM says: it is to hear of who holds a content."""
    world.recent.keep(SHA256, ANSWER._replace(valid_for=1e6))
    world.now = SECONDS - 1
    assert world.recent.recall(SHA256) is not None
    world.now = SECONDS
    assert world.recent.recall(SHA256) is None


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - (VERDICTS - DETECTIONS)))
def test_only_harmless_verdicts_are_kept(world: World, outcome: Outcome) -> None:
    """What is detected, and what nobody could answer, is asked about each time."""
    world.recent.keep(SHA256, ANSWER._replace(outcome=outcome))
    assert world.recent.recall(SHA256) is None


def test_other_signatures_void_it(world: World) -> None:
    """Also what earlier ones said and the SVM still served in its grace."""
    world.recent.keep(SHA256, ANSWER)
    world.generation = 8
    assert world.recent.recall(SHA256) is None


def test_what_is_revoked_counts_no_more(world: World) -> None:
    """From then on, and for as long as answers on it are in doubt nothing new is kept."""
    world.recent.keep(SHA256, ANSWER)
    world.doubted.add(SHA256)
    assert world.recent.recall(SHA256) is None
    world.recent.forget([SHA256, b"another"])
    world.recent.keep(SHA256, ANSWER)
    world.doubted.clear()
    assert world.recent.recall(SHA256) is None


def test_nothing_is_left_when_the_svm_was_away(world: World) -> None:
    """It may have revoked what it said."""
    world.recent.keep(SHA256, ANSWER)
    world.recent.clear()
    assert world.recent.recall(SHA256) is None


def test_there_is_a_limit(world: World) -> None:
    """What was kept first goes first; what was kept again does not count as old."""
    digests = [number.to_bytes(32) for number in range(MOST + 1)]
    for sha256 in digests:
        if sha256 == digests[-1]:
            world.recent.keep(digests[0], ANSWER)
        world.recent.keep(sha256, ANSWER)
    assert world.recent.recall(digests[0]) is not None
    assert world.recent.recall(digests[1]) is None
    assert all(world.recent.recall(sha256) is not None for sha256 in digests[2:])
