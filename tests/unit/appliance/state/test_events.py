"""The file of the events."""

from math import inf
from pathlib import Path

import pytest

from appliance.domain.event import Event, EventKind, Said
from appliance.state import events as state_events
from appliance.state.environment import StateEnvironment, StateError, StateFile
from appliance.state.event_record import encode
from appliance.state.events import FILE, Entry, EventStore, EventTerms, Looked, events_file

NOW = 1_900_000_000.0
JOURNAL, OTHER = b"j" * 16, b"k" * 16
DAY = 86400.0
USUAL = EventTerms()


def opened(directory: Path, terms: EventTerms = USUAL) -> EventStore:
    """The events of a directory."""
    return EventStore.open(directory, terms, NOW)


def own(count: int, text: str = "", at: float = NOW) -> list[Entry]:
    """Events of the SVM's own."""
    return [Entry(Event(at, EventKind.NOTE, text=text, count=number + 1)) for number in range(count)]


def said(number: int, journal: bytes = JOURNAL, owner: str = "ip-1") -> Entry:
    """An event by a guest's word."""
    event = Event(NOW, EventKind.ACTION, owner, said=Said(number))
    return Entry(event, owner, journal)


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """They count up over all events."""
    store = opened(tmp_path)
    assert [number for number, _ in store.append(own(3), NOW).kept] == [1, 2, 3]
    store.close()
    store = opened(tmp_path)
    assert store.last == 3
    assert [number for number, _ in store.append(own(1), NOW).kept] == [4]
    assert [event.count for _, event in store.from_number(2, 2)] == [2, 3]
    store.close()


def test_numbers_are_not_used_again_when_all_has_aged_out(tmp_path: Path) -> None:
    """Somebody may have noted one."""
    store = opened(tmp_path, EventTerms(keep_seconds=DAY))
    store.append(own(3, at=NOW - 2 * DAY), NOW)
    assert (store.count(), store.dropped) == (0, 3)
    store.close()
    store = opened(tmp_path, EventTerms(keep_seconds=DAY))
    assert [number for number, _ in store.append(own(1), NOW).kept] == [4]
    store.close()


def test_what_a_guest_sends_twice_is_kept_once(tmp_path: Path) -> None:
    """Also in one batch, and after a restart; each journal and each owner has numbers of its own."""
    store = opened(tmp_path)
    assert len(store.append([said(1), said(2), said(2)], NOW).kept) == 2
    store.close()
    store = opened(tmp_path)
    again = [said(1), said(2), said(3), said(1, OTHER), said(1, JOURNAL, "ip-2")]
    assert [event.said.number for _, event in store.append(again, NOW).kept if event.said] == [3, 1, 1]
    store.close()


def test_an_owner_has_bounded_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was used longest ago is forgotten, and none of anybody else's."""
    monkeypatch.setattr(state_events, "JOURNALS_OF_OWNER", 3)
    store = opened(tmp_path)
    store.append([said(9, b"x" * 16, "ip-2")], NOW)
    for number in range(5):
        store.append([said(9, bytes([number]) * 16)], NOW + number)
    assert store.append([said(9, bytes([4]) * 16), said(9, b"x" * 16, "ip-2")], NOW).kept == []
    assert len(store.append([said(9, bytes([0]) * 16)], NOW).kept) == 1
    store.close()


def test_all_owners_together_have_bounded_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many guests come by."""
    monkeypatch.setattr(state_events, "MAX_JOURNALS", 4)
    store = opened(tmp_path)
    for number in range(10):
        store.append([said(1, owner=f"ip-{number}")], NOW + number)
    assert store.append([said(1, owner="ip-9")], NOW).kept == []
    assert len(store.append([said(1, owner="ip-0")], NOW).kept) == 1
    store.close()


def test_the_oldest_go_when_there_is_too_much(tmp_path: Path) -> None:
    """By size; the newest are there."""
    store = opened(tmp_path, EventTerms(max_bytes=100_000))
    for _ in range(20):
        store.append(own(100, "x" * 50), NOW)
    assert store.used_bytes() <= 100_000
    assert 500 < store.count() < 2000
    assert store.count() + store.dropped == 2000
    assert store.from_number(1, 1)[0][0] == store.dropped + 1
    store.close()


def test_the_file_stays_within_its_map(tmp_path: Path) -> None:
    """Long events for as long as one likes: the map never runs full."""
    store = opened(tmp_path, EventTerms(max_bytes=4 << 20))
    long = [Entry(Event(NOW, EventKind.ACTION, "g", said=Said(1, path=b"\xff" * 1500))) for _ in range(500)]
    for _ in range(30):
        store.append(long, NOW)
    assert store.used_bytes() <= 4 << 20
    store.close()
    assert (tmp_path / FILE).stat().st_size < 32 << 20


def test_one_goes_back_a_few_at_a_time(tmp_path: Path) -> None:
    """From the newest to the oldest, each once; those that may be wanted alone, and how old the last is."""
    store = opened(tmp_path)
    for day in range(10):
        store.append(own(1000, at=NOW + day * DAY), NOW)
    below, seen, ages = store.last + 1, [], []
    while below:
        looked = store.back_from(below, lambda record: b'"count":8}' in record)
        assert len(looked.found) <= 64
        seen += [number for number, _ in looked.found]
        ages.append(looked.at)
        below = looked.below
    assert seen == [day * 1000 + 8 for day in reversed(range(10))]
    assert ages == sorted(ages, reverse=True)
    assert (ages[-1], len(ages) > 3) == (NOW, True)
    store.close()


def test_going_back_begins_below_a_number(tmp_path: Path) -> None:
    """Also where that has aged out, or is yet to come; where there is nothing, there is nothing."""
    store = opened(tmp_path)
    assert store.back_from(1, lambda _: True) == Looked([], 0, inf)
    store.append(own(5), NOW)
    for below, numbers in ((3, [2, 1]), (1, []), (99, [5, 4, 3, 2, 1])):
        assert [number for number, _ in store.back_from(below, lambda _: True).found] == numbers
    store.close()


def revocation(number: int, at: float = NOW) -> Entry:
    """A revocation of a digest that begins with a number."""
    digest = number.to_bytes(32, "big")
    return Entry(Event(at, EventKind.REVOCATION, sha256=digest, text="why", guests=("ip-1",), scope=17))


def test_revocations_are_told_by_themselves(tmp_path: Path) -> None:
    """With digest and scope, none older than is asked for; a guest that says the word adds none."""
    store = opened(tmp_path)
    for day in range(5):
        said = Event(NOW, EventKind.DETECTION, text="revocation", said=Said(day + 1, action="revocation"))
        store.append([revocation(day, NOW + day * DAY), Entry(said, "ip-1", JOURNAL)], NOW)
    store.close()
    store = opened(tmp_path)
    found = [(int.from_bytes(event.sha256, "big"), event.scope) for event in store.revoked(NOW + 2 * DAY)]
    assert found == [(2, 17), (3, 17), (4, 17)]
    assert store.notice == ""
    store.close()


def test_other_events_push_no_revocation_out(tmp_path: Path) -> None:
    """However much guests say, and although the event itself has made way."""
    store = opened(tmp_path, EventTerms(max_bytes=50_000))
    store.append([revocation(1)], NOW)
    for _ in range(10):
        store.append(own(100, "x" * 50), NOW)
    assert store.from_number(1, 1)[0][1].kind is not EventKind.REVOCATION
    assert len(store.revoked(0.0)) == 1
    store.close()


def test_revocations_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go."""
    monkeypatch.setattr(state_events, "MAX_REVOCATIONS", 3)
    store = opened(tmp_path)
    for number in range(0, 6, 2):
        store.append([revocation(number), revocation(number + 1)], NOW)
    assert [event.sha256[-1] for event in store.revoked(0.0)] == [3, 4, 5]
    store.close()


def test_a_file_of_schema_1_is_upgraded(tmp_path: Path) -> None:
    """It had no table of revocations: they are gathered from its events, and its events stay."""
    old = StateEnvironment.open(tmp_path, StateFile(FILE))
    old_events, old_sizes = old.table(b"events"), old.table(b"sizes")
    with old.changing, old.writing() as txn:
        for number in range(1, 5):
            event = revocation(number).event if number % 2 else Event(NOW, EventKind.NOTE, text="revocation")
            txn.put(number.to_bytes(8, "big"), encode(event), db=old_events)
        txn.put(b"last", (4).to_bytes(8, "big"), db=old_sizes)
    old.close()
    store = opened(tmp_path)
    assert (store.count(), store.last, store.notice) == (4, 4, "")
    assert [event.sha256[-1] for event in store.revoked(0.0)] == [1, 3]
    store.close()
    again = StateEnvironment.open_to_read(tmp_path, events_file(1 << 30))
    assert again.schema() == 2
    again.close()


def test_events_of_a_newer_schema_are_refused_and_not_set_aside(tmp_path: Path) -> None:
    """The file stays as it is; the sentence says what to do."""
    opened(tmp_path).close()
    newer = StateEnvironment.open(tmp_path, events_file(1 << 30))
    table = newer.table(b"meta")
    with newer.changing, newer.writing() as txn:
        txn.put(b"schema", (9).to_bytes(4, "little"), db=table)
    newer.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StateError, match="schema 9, this program knows 2: run the newer svm"):
        opened(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    assert not list(tmp_path.glob("*.damaged-*"))


def test_an_owner_has_so_much_room(tmp_path: Path) -> None:
    """What is over it is not kept, in order; what was kept before takes none; others have their own."""
    store = opened(tmp_path)
    one = store.append([said(1)], NOW).spent["ip-1"]
    done = store.append(
        [*map(said, range(1, 7)), said(1, owner="ip-2"), *own(1)], NOW, {"ip-1": 3 * one, "ip-2": one}
    )
    assert [event.said.number for _, event in done.kept if event.said] == [2, 3, 4, 1]
    assert len(done.kept) == 5
    assert dict(done.spent) == {"ip-1": 3 * one, "ip-2": one}
    assert {owner: len(events) for owner, events in done.refused.items()} == {"ip-1": 2}
    assert store.append([said(5), said(6)], NOW).kept == []  # they were given up, and do not come again
    store.close()


def test_a_damaged_record_is_passed_over_and_counted(tmp_path: Path) -> None:
    """One bad event hides no others."""
    store = opened(tmp_path)
    store.append(own(3), NOW)
    store.close()
    environment = StateEnvironment.open(tmp_path, events_file(1 << 30))
    table = environment.table(b"events")
    with environment.changing, environment.writing() as txn:
        txn.put((2).to_bytes(8, "big"), b"nonsense", db=table)
    environment.close()
    store = opened(tmp_path)
    assert [event.count for _, event in store.from_number(1, 9)] == [1, 3]
    assert store.damaged == 1
    store.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    """It is said where it lies; events begin anew."""
    store = opened(tmp_path)
    store.append(own(300, "x" * 50), NOW)
    store.close()
    data = bytearray((tmp_path / FILE).read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 4096] = bytes(4096)
    (tmp_path / FILE).write_bytes(data)
    store = opened(tmp_path)
    aside = tmp_path / f"{FILE}.damaged-{int(NOW)}"
    assert aside.exists()
    assert str(aside) in store.notice
    assert (store.last, store.count()) == (0, 0)
    store.close()


def test_events_are_read_beside_the_svm_that_writes_them(tmp_path: Path) -> None:
    """Nothing can be changed then; where there are none that is said."""
    with pytest.raises(StateError, match="not there yet"):
        EventStore.open_to_read(tmp_path, USUAL)
    store = opened(tmp_path)
    store.append(own(3), NOW)
    store.close()
    beside = EventStore.open_to_read(tmp_path, USUAL)
    assert [event.count for _, event in beside.from_number(1, 10)] == [1, 2, 3]
    assert 0 < beside.fill() < 0.01
    with pytest.raises(StateError):
        beside.append(own(1), NOW)
    beside.close()
