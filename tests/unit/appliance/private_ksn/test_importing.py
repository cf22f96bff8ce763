"""An import takes the place of its feed in one step, or not at all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.feeds.lines import Bad, SourceError
from appliance.private_ksn.importing import ImportRefused, drop_feed, import_feed, importing, not_empty
from appliance.private_ksn.reputation import Reputation, Zone
from appliance.private_ksn.sources import Found
from appliance.private_ksn.store import Store
from appliance.private_ksn.subjects import parse_any
from tests.support.private_ksn import NOON, feed

BAD = "bad.example"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store.open(tmp_path)
    yield opened
    opened.close()


def take(store: Store, *items: Found | Bad | Exception) -> None:
    """Import what is given; an exception is raised where it stands."""

    def source() -> Iterator[Found | Bad]:
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    import_feed(store, "a", "plain", source(), NOON, lambda _entries: None)


def red(text: str) -> Found:
    """A red entry."""
    return Found((parse_any(text).key,), Reputation(Zone.RED))


def test_one_feed_is_replaced_and_no_other(store: Store) -> None:
    """What the new set does not have is gone; the other feed stands; one file a feed is left."""
    feed(store, "a", {BAD: Zone.RED})
    feed(store, "b", {"10.0.0.1": Zone.RED})
    done = feed(store, "a", {"10.0.0.2": Zone.RED})
    assert (done.entries, done.keys, done.bad, done.flipped) == (1, 1, 0, 2)
    known = [store.lookup(parse_any(text).key) is not None for text in (BAD, "10.0.0.1", "10.0.0.2")]
    assert known == [False, True, True]
    assert sorted(path.name for path in store.directory.glob("*.lmdb")) == sorted(
        one.file for one in store.feeds().values()
    )


def test_a_source_that_breaks_leaves_the_old_set(store: Store) -> None:
    """And what it had begun is removed by the next import."""
    feed(store, "a", {BAD: Zone.RED})
    with pytest.raises(SourceError):
        take(store, red("10.0.0.1"), SourceError("broken"))
    assert store.lookup(parse_any("10.0.0.1").key) is None
    assert store.lookup(parse_any(BAD).key) is not None
    assert len(list(store.directory.glob("*.lmdb"))) == 2
    feed(store, "a", {BAD: Zone.RED})
    assert len(list(store.directory.glob("*.lmdb"))) == 1


def test_bad_lines_are_counted(store: Store) -> None:
    """The good ones count; where there is none of them the old set stays."""
    source: Iterator[Found | Bad] = iter([Bad("line 1", "odd"), red(BAD), Bad("line 3", "odder")])
    done = import_feed(store, "a", "plain", source, NOON, lambda _entries: None)
    assert (done.entries, done.bad) == (1, 2)
    with pytest.raises(ImportRefused, match="nothing could be taken; line 7: odd"):
        take(store, Bad("line 7", "odd"))
    assert store.lookup(parse_any(BAD).key) is not None


def test_an_empty_source_can_be_refused(store: Store) -> None:
    """It would end all of the feed; the old set stays."""
    feed(store, "a", {BAD: Zone.RED})
    with pytest.raises(ImportRefused, match="--allow-empty"):
        import_feed(store, "a", "plain", not_empty(iter([])), NOON, lambda _entries: None)
    assert store.lookup(parse_any(BAD).key) is not None
    take(store)
    assert store.lookup(parse_any(BAD).key) is None
    assert list(not_empty(iter([red(BAD)]))) == [red(BAD)]


def test_two_imports_do_not_run_at_once(store: Store) -> None:
    """The second is refused, and the first is not disturbed."""
    with importing(store), pytest.raises(ImportRefused, match="another import runs"):
        take(store, red(BAD))
    take(store, red(BAD))
    assert store.lookup(parse_any(BAD).key) is not None


@pytest.mark.parametrize("name", ["", "../x", "A", "operator", "a" * 41])
def test_a_name_that_is_none_is_refused(store: Store, name: str) -> None:
    """It becomes the name of a file."""
    with pytest.raises(ImportRefused, match="is no name of a feed"):
        feed(store, name, {BAD: Zone.RED})


def test_a_dropped_feed_counts_no_more(store: Store) -> None:
    """Its file is gone too; a feed that is not there cannot be dropped."""
    feed(store, "a", {BAD: Zone.RED})
    assert drop_feed(store, "a")
    assert store.lookup(parse_any(BAD).key) is None
    assert list(store.directory.glob("*.lmdb")) == []
    assert not drop_feed(store, "a")
