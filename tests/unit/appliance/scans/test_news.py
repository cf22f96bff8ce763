"""Tests of appliance/scans/news.py."""

from appliance.scans.news import ScanNews


def test_the_last_word_on_each_is_told_once() -> None:
    """In the order in which the scans came up."""
    news = ScanNews()
    news.tasks |= {b"a": (b"/",), b"b": ()}
    news.tasks[b"a"] = None
    news.slots |= {b"a": True, b"b": True}
    news.slots[b"b"] = False
    assert [news.take_task() for _ in range(3)] == [(b"a", None), (b"b", ()), None]
    assert [news.take_slot() for _ in range(3)] == [(b"a", True), (b"b", False), None]
