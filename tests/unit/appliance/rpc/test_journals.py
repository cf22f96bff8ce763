"""What a guest is to be told of its events."""

from appliance.rpc.journals import MAX_UNTOLD, Journals


def test_a_guest_is_told_the_highest_number_of_each_journal_once() -> None:
    """What gathered while it did not read is told together."""
    journals = Journals()
    journals.note(b"a", 3)
    journals.note(b"a", 7)
    journals.note(b"a", 5)
    journals.note(b"b", 1)
    told = {}
    while (kept := journals.take()) is not None:
        told[kept.journal] = kept.up_to
    assert told == {b"a": 7, b"b": 1}


def test_it_is_full_when_the_guest_does_not_read() -> None:
    """Then nothing more is taken from it."""
    journals = Journals()
    for number in range(MAX_UNTOLD):
        assert not journals.is_full
        journals.note(bytes([number]), 1)
    assert journals.is_full
