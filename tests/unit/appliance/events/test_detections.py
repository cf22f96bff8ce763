"""Which detections are news."""

from appliance.events.detections import MOST_PATHS, REMEMBERED, Detections


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def answered(detections: Detections, guest: str, digest: bytes) -> bool:
    """Tell a guest of a threat; whether that was news, and so was noted."""
    news = detections.is_news(guest, digest)
    if news:
        detections.noted(guest, digest, "Worm")
    return news


def test_the_same_guest_and_digest_are_news_once_an_hour() -> None:
    """A guest that asks a thousand times is no thousand detections."""
    clock = Clock()
    detections = Detections(clock)
    assert answered(detections, "ip-1", b"d")
    assert not answered(detections, "ip-1", b"d")
    assert answered(detections, "ip-2", b"d")
    assert answered(detections, "ip-1", b"e")
    clock.now += 3600
    assert answered(detections, "ip-1", b"d")


def test_what_was_not_noted_is_news_again() -> None:
    """There was no room for the event: the next time there may be."""
    detections = Detections(Clock())
    assert [detections.is_news("ip-1", b"d") for _ in range(2)] == [True, True]
    assert detections.reported("ip-1", b"d", b"/first") == ""


def test_each_further_file_that_a_guest_reports_counts() -> None:
    """The first is the one that was asked about."""
    detections = Detections(Clock())
    answered(detections, "ip-1", b"d")
    paths = [b"/first", b"/second", b"/third"]
    assert [detections.reported("ip-1", b"d", path) for path in paths] == ["", "Worm", "Worm"]


def test_a_file_that_is_met_again_and_again_is_one() -> None:
    """Whoever opens it a thousand times makes no outbreak; nor does what was done with it."""
    detections = Detections(Clock())
    answered(detections, "ip-1", b"d")
    assert {detections.reported("ip-1", b"d", b"/first") for _ in range(1000)} == {""}
    assert [detections.reported("ip-1", b"d", b"/second") for _ in range(3)] == ["Worm", "", ""]


def test_beyond_so_many_files_each_report_counts() -> None:
    """What is remembered is bounded, and a worm in all files is no less for it."""
    detections = Detections(Clock())
    answered(detections, "ip-1", b"d")
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
        answered(detections, "ip-1", number.to_bytes(4, "big"))
    assert answered(detections, "ip-1", bytes(4))
