"""Which detections are news."""

from appliance.events.detections import MOST_PATHS, REMEMBERED, Detections


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_the_same_guest_and_digest_are_news_once_an_hour() -> None:
    """A guest that asks a thousand times is no thousand detections."""
    clock = Clock()
    detections = Detections(clock)
    assert detections.answered("ip-1", b"d", "Worm")
    assert not detections.answered("ip-1", b"d", "Worm")
    assert detections.answered("ip-2", b"d", "Worm")
    assert detections.answered("ip-1", b"e", "Worm")
    clock.now += 3600
    assert detections.answered("ip-1", b"d", "Worm")


def test_each_further_file_that_a_guest_reports_counts() -> None:
    """The first is the one that was asked about."""
    detections = Detections(Clock())
    detections.answered("ip-1", b"d", "Worm")
    paths = [b"/first", b"/second", b"/third"]
    assert [detections.reported("ip-1", b"d", path) for path in paths] == ["", "Worm", "Worm"]


def test_a_file_that_is_met_again_and_again_is_one() -> None:
    """Whoever opens it a thousand times makes no outbreak; nor does what was done with it."""
    detections = Detections(Clock())
    detections.answered("ip-1", b"d", "Worm")
    assert {detections.reported("ip-1", b"d", b"/first") for _ in range(1000)} == {""}
    assert [detections.reported("ip-1", b"d", b"/second") for _ in range(3)] == ["Worm", "", ""]


def test_beyond_so_many_files_each_report_counts() -> None:
    """What is remembered is bounded, and a worm in all files is no less for it."""
    detections = Detections(Clock())
    detections.answered("ip-1", b"d", "Worm")
    paths = [b"/%d" % number for number in range(10 * MOST_PATHS)]
    assert sum(bool(detections.reported("ip-1", b"d", path)) for path in paths) == len(paths) - 1


def test_what_only_the_guest_calls_a_threat_counts_for_nothing() -> None:
    """No guest makes up an outbreak."""
    detections = Detections(Clock())
    assert [detections.reported("ip-1", b"made up", b"/%d" % number) for number in range(3)] == ["", "", ""]


def test_memory_is_bounded() -> None:
    """The detection of longest ago is forgotten."""
    detections = Detections(Clock())
    for number in range(REMEMBERED + 1):
        detections.answered("ip-1", number.to_bytes(4, "big"), "Worm")
    assert detections.answered("ip-1", bytes(4), "Worm")
