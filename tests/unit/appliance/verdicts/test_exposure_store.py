"""The file of who holds what."""

import hashlib
from pathlib import Path

import lmdb
import pytest

from appliance.verdicts import exposure_store
from appliance.verdicts.environment import StoreError
from appliance.verdicts.exposure_record import Holding
from appliance.verdicts.exposure_store import ExposureStore, ExposureTerms

HOUR = 500_000
FILE = "exposure.lmdb"
TERMS = ExposureTerms(map_bytes=64 << 20)


def digest(number: int) -> bytes:
    """A digest."""
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def opened(directory: Path, terms: ExposureTerms = TERMS) -> ExposureStore:
    """The store of a directory, which knows two guests."""
    store = ExposureStore.open(directory, terms, 0.0)
    for name in ("ip-1", "ip-2"):
        store.guests.met(name, HOUR, set())
    return store


def take(store: ExposureStore, number: int, numbers: range, hour: int = HOUR) -> None:
    """Have a guest's digests taken in and merged."""
    store.spill([(number, hour, b"".join(map(digest, numbers)))])
    while store.merge():
        pass


def test_holders_are_there_before_and_after_merging_and_a_restart(tmp_path: Path) -> None:
    """Whoever asks meanwhile is told the same."""
    store = opened(tmp_path)
    store.spill([(0, HOUR, b"".join(map(digest, range(300)))), (1, HOUR + 1, digest(5))])
    wanted = [Holding(0, HOUR, HOUR), Holding(1, HOUR + 1, HOUR + 1)]
    assert store.holders(digest(5)) == wanted
    store.merge()
    assert all(store.holders(digest(number)) for number in range(300))
    while store.merge():
        pass
    assert store.holders(digest(5)) == wanted
    assert store.waiting == 0
    store.close()
    store = ExposureStore.open(tmp_path, TERMS, 0.0)
    assert store.holders(digest(5)) == wanted
    assert [guest.name for guest in store.guests.all()] == ["ip-1", "ip-2"]
    assert store.guests.all()[0].files == 300
    store.close()


def test_what_waited_at_the_end_is_merged_at_the_next_start(tmp_path: Path) -> None:
    """Nothing is lost by stopping."""
    store = opened(tmp_path)
    store.spill([(0, HOUR, b"".join(map(digest, range(300))))])
    store.merge()
    store.close()
    store = ExposureStore.open(tmp_path, TERMS, 0.0)
    while store.merge():
        pass
    assert all(store.holders(digest(number)) for number in range(300))
    store.close()


def test_what_a_guest_holds_is_listed_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By digest, all of it, and nobody else's."""
    monkeypatch.setattr(exposure_store, "_READ_AT_ONCE", 7)
    store = opened(tmp_path)
    take(store, 0, range(50))
    take(store, 1, range(40, 60))
    guest, after, found = store.guests.named("ip-2"), b"", []
    assert guest is not None
    while True:
        some, after = store.files_of(guest, after)
        found += [key for key, _ in some]
        if not after:
            break
    assert found == sorted(map(digest, range(40, 60)))
    store.close()


def test_one_guest_has_a_bounded_part(tmp_path: Path) -> None:
    """What is over that is counted; others have their own."""
    store = opened(tmp_path, ExposureTerms(map_bytes=64 << 20, guest_files=100))
    take(store, 0, range(150))
    take(store, 1, range(150, 200))
    assert (store.entries, store.counts["over_guest_files"]) == (150, 50)
    take(store, 0, range(150))
    assert store.entries == 150
    store.close()


def test_what_was_not_seen_for_long_goes_and_its_guest_too(tmp_path: Path) -> None:
    """By the sweep, which looks at all of it by and by."""
    store = opened(tmp_path, ExposureTerms(map_bytes=64 << 20, keep_hours=48))
    take(store, 0, range(600))
    take(store, 1, range(300), HOUR + 40)
    store.guests.met("ip-2", HOUR + 40, set())
    for _ in range(6):
        store.sweep(HOUR + 60)
    store.forget_guests(HOUR + 60, set())
    assert store.entries == 300
    assert store.holders(digest(5)) == [Holding(1, HOUR + 40, HOUR + 40)]
    assert store.counts["aged_out"] == 600
    assert [guest.name for guest in store.guests.all()] == ["ip-2"]
    store.close()


def test_when_room_is_short_the_oldest_make_way(tmp_path: Path) -> None:
    """A full file never fails; what comes is taken again when some went."""
    store = opened(tmp_path, ExposureTerms(map_bytes=2 << 20, keep_hours=90 * 24))
    for day in range(40):
        take(store, 0, range(day * 1000, day * 1000 + 1000), HOUR + 24 * day)
        while store.sweep(HOUR + 24 * day):
            pass
        assert store.used_bytes < 2 << 20
    assert store.counts["aged_out"] > 5_000
    assert store.holders(digest(0)) == []
    assert store.holders(digest(39_999)) != []
    store.close()


def test_more_than_fits_within_a_day_is_dropped_and_counted(tmp_path: Path) -> None:
    """Nothing is raised."""
    store = opened(tmp_path, ExposureTerms(map_bytes=1 << 20))
    for part in range(40):
        take(store, 0, range(part * 1000, part * 1000 + 1000))
    assert store.counts["dropped"] + store.counts["over_guest_files"] > 0
    assert store.used_bytes < 1 << 20
    store.close()


def test_guests_that_fill_the_file_leave_room_for_those_who_hold_little(tmp_path: Path) -> None:
    """What these ask about is entered, however much the others go on to ask."""
    store = opened(tmp_path, ExposureTerms(map_bytes=8 << 20))
    store.guests.met("ip-3", HOUR, set())
    for part in range(22):
        take(store, part % 2, range(part * 6000, part * 6000 + 6000))
    assert store.counts["over_guest_files"] > 6000
    take(store, 2, range(200_000, 200_500))
    assert all(store.holders(digest(number)) for number in range(200_000, 200_500))
    store.close()


def test_a_guest_that_is_forgotten_leaves_nothing_to_be_merged(tmp_path: Path) -> None:
    """Its number may be another's by then."""
    store = opened(tmp_path)
    store.spill([(9, HOUR, digest(1))])
    while store.merge():
        pass
    assert (store.entries, store.counts["dropped"]) == (0, 1)
    store.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    """Before it is used, or when it is found out; it is said where it lies."""
    store = opened(tmp_path)
    take(store, 0, range(5000))
    store.close()
    data = bytearray((tmp_path / FILE).read_bytes())
    data[4096 * 20 : 4096 * 40] = bytes(4096 * 20)
    (tmp_path / FILE).write_bytes(data)
    store = ExposureStore.open(tmp_path, TERMS, 7.0)
    assert "exposure.lmdb.damaged-7" in store.notice
    assert store.holders(digest(1)) == []
    store.recover(lmdb.CorruptedError("x"), 8.0)
    assert "exposure.lmdb.damaged-8" in store.notice
    store.guests.met("ip-1", HOUR, set())
    take(store, 0, range(5))
    assert store.entries == 5
    store.close()


def test_a_second_svm_is_refused(tmp_path: Path) -> None:
    """Nobody writes beside another."""
    store = opened(tmp_path)
    with pytest.raises(StoreError, match="another svm"):
        ExposureStore.open(tmp_path, TERMS, 0.0)
    store.close()
