"""What counts, and which changes of zones are told."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from appliance.private_ksn import store as store_module
from appliance.private_ksn.importing import drop_feed, import_feed
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.sources import Found
from appliance.private_ksn.store import Store, StoreError, TooOld
from appliance.private_ksn.subjects import parse_any
from tests.support.private_ksn import feed

BAD, OTHER = "bad.example", "10.0.0.1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(tmp_path)
    yield opened
    opened.close()


def zone(store: Store, text: str) -> Zone | None:
    """The zone that counts."""
    found = store.lookup(parse_any(text).key)
    return found[0].zone if found else None


def told(store: Store, since: int) -> list[tuple[str, str]]:
    """The changes since then."""
    return [(one.value, one.zone) for one in store.changes(since, 1000)[0]]


def test_the_worst_feed_counts_and_the_operator_wins(store: Store) -> None:
    """Until the operator's word ends; `words` tells all of them."""
    feed(store, "a", {BAD: Zone.GREEN})
    feed(store, "b", {BAD: Zone.RED})
    assert zone(store, BAD) is Zone.RED
    assert store.set_entry(parse_any(BAD).key, Reputation(Zone.GREY))
    assert zone(store, BAD) is Zone.GREY
    assert [word.zone for word in store.words(parse_any(BAD).key)] == [Zone.GREY, Zone.GREEN, Zone.RED]
    assert store.set_entry(parse_any(BAD).key, None)
    assert not store.set_entry(parse_any(BAD).key, None)
    assert zone(store, BAD) is Zone.RED


def test_a_change_of_zone_is_told_once(store: Store) -> None:
    """What counts is told, not what one feed says; the same import again tells nothing."""
    feed(store, "a", {BAD: Zone.RED, OTHER: Zone.YELLOW})
    assert told(store, 0) == [(BAD, "Red"), (OTHER, "Yellow")]
    feed(store, "b", {BAD: Zone.GREEN})
    feed(store, "a", {BAD: Zone.RED, OTHER: Zone.YELLOW})
    assert store.sequence() == 2
    feed(store, "a", {OTHER: Zone.GREEN})
    assert told(store, 2) == [(BAD, "Green"), (OTHER, "Green")]
    assert drop_feed(store, "b")
    assert told(store, 4) == [(BAD, "")]


def test_the_operators_word_hides_what_feeds_do(store: Store) -> None:
    """A feed that flips below it changes nothing; the word's own coming and going does."""
    store.set_entry(parse_any(BAD).key, Reputation(Zone.GREEN))
    feed(store, "a", {BAD: Zone.RED})
    assert told(store, 0) == [(BAD, "Green")]
    store.set_entry(parse_any(BAD).key, None)
    assert told(store, 1) == [(BAD, "Red")]


def test_a_change_says_what_the_zone_is_for(store: Store) -> None:
    """Its threat and category, cut to a length, and the program as a feed has it."""
    key = parse_any("ab" * 32).key
    source = iter([Found((key,), Reputation(Zone.GREY, "", "Browser", "Firefox"))])
    import_feed(store, "nsrl", "nsrl", source, 0, lambda _entries: None)
    store.set_entry(key, Reputation(Zone.RED, "T" * 300, "", ""))
    store.set_entry(key, None)
    first, red, cleared = store.changes(0, 10)[0]
    assert (first.threat, first.category, first.name) == ("", "Browser", "Firefox")
    assert (red.threat, red.category, red.name) == ("T" * 200, "Browser", "Firefox")
    assert (cleared.zone, cleared.threat, cleared.name) == ("Grey", "", "Firefox")


def test_a_change_of_a_long_url_is_told_by_its_digest(store: Store) -> None:
    """In a field of its own, by which a client finds what it keeps."""
    url = "http://bad.example/" + "x" * 600
    store.set_entry(parse_any(url).key, Reputation(Zone.RED))
    store.set_entry(parse_any(BAD).key, Reputation(Zone.RED))
    long, short = store.changes(0, 10)[0]
    assert (long.kind, long.sha256) == ("url", hashlib.sha256(url.encode()).hexdigest())
    assert short.sha256 == ""


def test_the_operators_word_still_names_the_program(store: Store) -> None:
    """He says what it does; what it is, a feed knows, unless he says that too."""
    key = parse_any("ab" * 32).key
    source = iter([Found((key,), Reputation(Zone.GREY, "", "Browser", "Firefox"))])
    import_feed(store, "nsrl", "nsrl", source, 0, lambda _entries: None)
    store.set_entry(key, Reputation(Zone.YELLOW, "Unwanted", source="operator"))
    found = store.lookup(key)
    assert found is not None
    assert found[0] == Reputation(Zone.YELLOW, "Unwanted", "Browser", "Firefox", source="operator")
    store.set_entry(key, Reputation(Zone.YELLOW, "", "Adware"))
    found = store.lookup(key)
    assert found is not None
    assert (found[0].category, found[0].name) == ("Adware", "Firefox")


def test_changes_come_in_portions(store: Store) -> None:
    """The first ones after a number, and the number of the last there is."""
    feed(store, "a", {f"10.0.0.{last}": Zone.RED for last in range(1, 6)})
    found, last = store.changes(1, 2)
    assert ([one.sequence for one in found], last) == ([2, 3], 5)
    assert store.changes(5, 2) == ([], 5)


def test_changes_that_are_not_kept_are_not_passed_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is too far behind hears so, as does one with a number that was never given."""
    monkeypatch.setattr(store_module, "KEPT_CHANGES", 3)
    for last in range(1, 6):
        store.set_entry(parse_any(f"10.0.0.{last}").key, Reputation(Zone.RED))
    assert len(store.changes(2, 10)[0]) == 3
    for since in (1, 6):
        with pytest.raises(TooOld):
            store.changes(since, 10)


def test_too_many_changes_at_once_void_all_numbers(store: Store) -> None:
    """Those who follow are sent to look at everything anew, and can go on from there."""
    feed(store, "a", {BAD: Zone.RED})
    store.put_feed("a", store.feeds()["a"], None)
    with pytest.raises(TooOld):
        store.changes(1, 10)
    assert store.changes(store.sequence(), 10) == ([], 2)


def test_a_missing_store_is_not_begun_by_a_question(tmp_path: Path) -> None:
    """A command that only reads says that there is none."""
    with pytest.raises(StoreError, match="is not there"):
        Store.open(tmp_path / "x", create=False)
    assert not (tmp_path / "x").exists()


def test_the_file_of_another_program_is_refused(tmp_path: Path) -> None:
    """Nothing is written into it."""
    with lmdb.open(str(tmp_path / store_module.FILE), subdir=False) as env, env.begin(write=True) as txn:
        txn.put(b"theirs", b"1")
    with pytest.raises(StoreError, match="of another program"):
        Store.open(tmp_path)
