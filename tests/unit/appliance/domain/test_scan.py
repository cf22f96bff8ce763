"""Tests of appliance/domain/scan.py."""

from appliance.domain.scan import ScanCounts, ScanOrder, ScanState, shown_paths, told_counts


def test_states_that_are_ends() -> None:
    """Four of them; nothing comes after."""
    ends = {state for state in ScanState if state.is_end}
    assert ends == {ScanState.DONE, ScanState.INCOMPLETE, ScanState.CANCELLED, ScanState.EXPIRED}


def test_an_order_is_open_until_it_ended() -> None:
    """As its time of ending says."""
    assert ScanOrder(b"", "g", (), "me", 1, 1).is_open
    assert not ScanOrder(b"", "g", (), "me", 1, 1, ended_at=2).is_open


def test_paths_and_counts_for_people() -> None:
    """Few paths in full, of more how many there are; what is no UTF-8 steers nothing."""
    assert shown_paths(()) == "everything that is protected"
    assert shown_paths((b"/a", b"/\xff")) == "/a, /�"
    assert shown_paths(tuple(b"/%d" % number for number in range(6))) == "/0, /1, /2, /3 and 2 more"
    assert told_counts(ScanCounts(1200, 9, 1, 2, 3)) == "1,200 files, 1 malicious, 2 suspicious, 3 unanswered"
