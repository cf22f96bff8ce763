"""Tests of what the stub keeps over runs."""

import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import lmdb
import pytest

from guest_stub import decisions
from guest_stub.decision import FileId
from guest_stub.decisions import (
    ASIDE_NAME,
    BYTES_PER_ENTRY,
    FILE_NAME,
    Decisions,
    StateRefused,
    StoreSettings,
)
from guest_stub.found import FoundFile
from guest_stub.outcome import Outcome
from guest_stub.records import Record, Seen, digest_only, encode, identify
from tests.support.page_cache import mapped_bytes
from tests.support.stub_scans import store_settings

GENERATION = 7
NOW = 1_700_000_000.0
UNTIL = int(NOW) + 3600


def clock() -> float:
    """The time of all tests here."""
    return NOW


def file(number: int, size: int = 10) -> FoundFile:
    """A file that was found, by its inode."""
    key, stamp = identify(FileId(65024, number, size, 10**18 + number, 10**18 + number))
    return FoundFile(key, stamp, "/d", str(number), size)


def digest(number: int) -> bytes:
    """A digest for a file."""
    return number.to_bytes(32, "big")


def entry(number: int, generation: int = GENERATION, until: int = UNTIL) -> tuple[bytes, bytes]:
    """What keep() takes for a file that nothing was detected in."""
    found = file(number)
    return found.key, encode(found.stamp, Record(generation, until, Outcome.NOT_DETECTED, digest(number)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Decisions]:
    """An open store."""
    with closing(Decisions(store_settings(tmp_path / "state"), clock)) as opened:
        yield opened


def test_what_is_kept_answers(store: Decisions) -> None:
    """A file that is not changed is answered by its record."""
    assert store.keep([entry(1), entry(2)]) == 2
    result = store.sort_out([file(1), file(2)], GENERATION)
    assert [(found.name, record.sha256) for found, record in result.decided] == [
        ("1", digest(1)),
        ("2", digest(2)),
    ]
    assert (result.known, result.fresh) == ([], [])


def test_the_last_word_on_a_file_counts(store: Decisions) -> None:
    """Also where both come in one batch, whatever their bytes."""
    for generations in ((GENERATION, 1), (1, GENERATION)):
        assert store.keep([entry(1, generation) for generation in generations]) == 1
        assert bool(store.sort_out([file(1)], GENERATION).decided) is (generations[-1] == GENERATION)


def test_it_answers_in_the_next_run(tmp_path: Path) -> None:
    """Decisions outlive the process, also one that never closed the store."""
    settings = store_settings(tmp_path)
    with closing(Decisions(settings, clock)) as first:
        first.keep([entry(1)])
    with closing(Decisions(settings, clock)) as second:
        assert len(second.sort_out([file(1)], GENERATION).decided) == 1
        assert second.count() == 1
        assert second.notice == ""


def test_another_size_or_time_makes_a_file_fresh(store: Decisions) -> None:
    """The identity has to match wholly."""
    store.keep([entry(1)])
    changed = file(1, size=11)
    result = store.sort_out([changed, file(3)], GENERATION)
    assert result.fresh == [changed, file(3)]


@pytest.mark.parametrize(("generation", "until"), [(GENERATION + 1, UNTIL), (GENERATION, int(NOW))])
def test_what_no_longer_counts_still_tells_the_digest(store: Decisions, generation: int, until: int) -> None:
    """Of another generation, or too old: the SVM is to be asked, the file need not be read."""
    store.keep([entry(1, generation, until)])
    assert store.sort_out([file(1)], GENERATION).known == [(file(1), digest(1))]


def test_a_digest_alone_is_known(store: Decisions) -> None:
    """Where the SVM gave no verdict the digest was kept, and no answer."""
    store.keep([(file(1).key, encode(file(1).stamp, digest_only(digest(1))))])
    assert store.sort_out([file(1)], GENERATION).known == [(file(1), digest(1))]


def test_a_file_without_a_key_is_always_fresh(store: Decisions) -> None:
    """A file system that is not relied on never gets an answer from the store."""
    store.keep([entry(1)])
    foreign = file(1)._replace(key=b"")
    assert store.sort_out([foreign], GENERATION).fresh == [foreign]


def test_a_damaged_record_makes_its_file_fresh(store: Decisions) -> None:
    """One that does not check is no answer."""
    key, value = entry(1)
    store.keep([(key, value[:-1] + bytes([value[-1] ^ 1])), entry(2)])
    result = store.sort_out([file(1), file(2)], GENERATION)
    assert result.fresh == [file(1)]
    assert len(result.decided) == 1


def same_content(number: int, record: Record) -> tuple[bytes, bytes]:
    """What keep() takes for a file."""
    return file(number).key, encode(file(number).stamp, record)


HARMLESS = Record(GENERATION, UNTIL, Outcome.NOT_DETECTED, digest(1))


def test_a_revoked_verdict_counts_no_more_and_its_digest_is_known(store: Decisions) -> None:
    """For every file of that content; others stay, and whoever is to look for the files still finds them."""
    store.keep([entry(1), entry(2), same_content(3, HARMLESS)])
    store.keep_loose([same_content(4, digest_only(digest(1)))])
    assert store.revoke([digest(1), digest(99)]) == 2
    result = store.sort_out([file(1), file(2), file(3)], GENERATION)
    assert result.known == [(file(1), digest(1)), (file(3), digest(1))]
    assert len(result.decided) == 1
    told: list[Seen] = []
    assert store.revoke([digest(1)], told.extend) == 3
    assert told == [Seen(file(number).key, file(number).stamp, digest(1)) for number in (1, 3, 4)]
    assert store.revoke([digest(1)], told.extend) == 0


def test_files_are_told_before_they_are_forgotten(store: Decisions) -> None:
    """So that a stub that is killed between has lost none."""
    there: list[bool] = []

    def tell(files: list[Seen]) -> None:
        there.extend(store.look_up(seen.key, seen.stamp) is not None for seen in files)

    store.keep([entry(1), same_content(3, HARMLESS._replace(outcome=Outcome.MALICIOUS))])
    assert store.revoke([digest(1)], tell) == 2
    assert there == [True, True]
    assert store.sort_out([file(1), file(3)], GENERATION).fresh == [file(1), file(3)]
    assert store.count() == 0


def test_a_large_store_is_looked_through_part_by_part(
    store: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks something up waits for one part at the most; none is left out."""
    monkeypatch.setattr(decisions, "_PART", 10)
    store.keep([same_content(number, HARMLESS) for number in range(1, 96)])
    store.keep([entry(number) for number in (17, 40, 41)])
    told: list[list[Seen]] = []
    assert store.revoke([digest(1)], told.append) == 92
    assert max(map(len, told)) <= 10
    assert store.count() == 3


def test_what_came_in_place_of_a_revoked_verdict_stays(store: Decisions) -> None:
    """A file that was looked at anew meanwhile."""

    def tell(_files: list[Seen]) -> None:
        store.keep([entry(1, GENERATION + 1)])

    store.keep([entry(1)])
    store.revoke([digest(1)], tell)
    assert store.look_up(file(1).key, file(1).stamp) is not None


def test_what_was_seen_loosely_answers_for_nothing(store: Decisions) -> None:
    """The file is read anew; whoever is to look for it is told."""
    store.keep_loose([same_content(1, digest_only(digest(1)))])
    assert store.look_up(file(1).key, file(1).stamp) is None
    assert store.sort_out([file(1)], GENERATION).fresh == [file(1)]
    assert store.count() == 0


def test_files_that_are_seen_loosely_take_no_room_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build makes millions of them: the newest are known, in bounded numbers, also over restarts."""
    monkeypatch.setattr(decisions, "MOST_LOOSE", 10)
    told: list[Seen] = []
    for first in range(1, 96, 5):
        with closing(Decisions(store_settings(tmp_path), clock)) as store:
            for number in range(first, first + 5):
                store.keep_loose([same_content(number, digest_only(digest(1)))])
    with closing(Decisions(store_settings(tmp_path), clock)) as store:
        assert 10 <= store.revoke([digest(1)], told.extend) <= 20
    keys = {each.key for each in told}
    assert {file(number).key for number in range(86, 96)} <= keys


def test_a_small_store_has_room_for_few_of_them(tmp_path: Path) -> None:
    """And keeps on keeping the others."""
    with closing(Decisions(store_settings(tmp_path, map_bytes=1 << 20), clock)) as store:
        for first in range(0, 100_000, 500):
            numbers = range(first, first + 500)
            store.keep_loose([same_content(number, digest_only(digest(1))) for number in numbers])
        assert store.keep([entry(1)]) == 1
        assert not store.notice
        assert store.revoke([digest(1)], lambda _files: None) > 500


def test_a_full_store_keeps_what_it_has(tmp_path: Path) -> None:
    """Over the bound new files are not kept, nothing fails, and it is said."""
    settings = store_settings(tmp_path, map_bytes=1 << 20)
    bound = (1 << 20) // BYTES_PER_ENTRY
    with closing(Decisions(settings, clock)) as store:
        assert store.keep([entry(number) for number in range(bound)]) == bound
        assert store.keep([entry(bound + 1)]) == 0
        assert "full" in store.notice
        assert len(store.sort_out([file(5)], GENERATION).decided) == 1


def test_a_full_store_throws_out_what_is_too_old(tmp_path: Path) -> None:
    """Entries whose time has run out make room."""
    settings = store_settings(tmp_path, map_bytes=1 << 20)
    bound = (1 << 20) // BYTES_PER_ENTRY
    with closing(Decisions(settings, clock)) as store:
        store.keep([entry(number, until=int(NOW) - number % 2) for number in range(bound)])
        assert store.keep([entry(bound + 1)]) == 1
        assert store.notice == ""
        assert store.count() < bound


def test_a_map_that_is_really_full_fails_nothing(tmp_path: Path) -> None:
    """When LMDB itself has no page left, the scan goes on without keeping."""
    with closing(Decisions(store_settings(tmp_path, map_bytes=64 << 10), clock)) as store:
        for number in range(250):
            store.keep([(file(number).key, entry(number)[1] + bytes(400))])
        assert "no more decisions are kept" in store.notice
        assert store.sort_out([file(1)], GENERATION).fresh == [file(1)]


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty meta"])
def test_a_damaged_store_is_set_aside(tmp_path: Path, damage: str) -> None:
    """It is kept under another name, said once, and a new one begun."""
    settings = store_settings(tmp_path)
    with closing(Decisions(settings, clock)) as store:
        store.keep([entry(number) for number in range(2000)])
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    damaged = {
        "garbage": random.Random(1).randbytes(len(whole)),
        "cut": whole[: len(whole) // 2],
        "empty meta": bytes(8192) + whole[8192:],
    }[damage]
    path.write_bytes(damaged)
    with closing(Decisions(settings, clock)) as store:
        assert "set aside" in store.notice
        assert (tmp_path / ASIDE_NAME).read_bytes() == damaged
        assert store.count() == 0
        assert store.keep([entry(1)]) == 1
    with closing(Decisions(settings, clock)) as store:
        assert store.notice == ""


def test_damage_that_shows_while_reading_is_set_aside(tmp_path: Path) -> None:
    """A page that is no page ends neither the program nor the scan."""
    settings = store_settings(tmp_path)
    with closing(Decisions(settings, clock)) as store:
        store.keep([entry(number) for number in range(2000)])
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + bytes(len(whole) - 8192))
    with closing(Decisions(settings, clock)) as store:
        assert store.sort_out([file(1)], GENERATION).fresh == [file(1)]
        store.keep([entry(1)])
        assert "set aside" in store.notice


class Damaged:
    """An environment of which every page is found to be none."""

    def __init__(self, env: lmdb.Environment) -> None:
        self.close = env.close

    def begin(self, **_: object) -> object:
        """Find that out."""
        raise lmdb.CorruptedError("it is no page")


def test_who_must_not_open_it_again_goes_on_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The damaged store is set aside all the same; nothing is kept, and the next run begins anew."""
    with closing(Decisions(store_settings(tmp_path), clock, reopens=False)) as store:
        store.keep([entry(1)])
        monkeypatch.setattr(store, "_env", Damaged(store._env))
        assert store.sort_out([file(1)], GENERATION).fresh == [file(1)]
        assert "set aside" in store.notice
        assert not (tmp_path / FILE_NAME).exists()
        assert (store.keep([entry(1)]), store.revoke([bytes(32)])) == (0, 0)
        assert store.look_up(file(1).key, file(1).stamp) is None
    with closing(Decisions(store_settings(tmp_path), clock)) as store:
        assert store.keep([entry(1)]) == 1


def test_a_power_cut_while_writing_sets_the_store_aside(tmp_path: Path) -> None:
    """What was written without fsync in another boot is not trusted."""
    with closing(Decisions(store_settings(tmp_path, boot_id="boot-1"), clock)) as store:
        store.keep([entry(1)])
    (tmp_path / "unsynced").write_text("boot-1")
    with closing(Decisions(store_settings(tmp_path, boot_id="boot-2"), clock)) as store:
        assert "when the machine went down" in store.notice
        assert store.count() == 0


def test_a_restart_after_a_clean_end_keeps_everything(tmp_path: Path) -> None:
    """A store that was closed is synced, and trusted after the next boot."""
    with closing(Decisions(store_settings(tmp_path, boot_id="boot-1"), clock)) as store:
        store.keep([entry(1)])
    with closing(Decisions(store_settings(tmp_path, boot_id="boot-2"), clock)) as store:
        assert store.count() == 1


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    """The directory is private, also one that was not."""
    directory = tmp_path / "a" / "state"
    directory.mkdir(parents=True, mode=0o755)
    with closing(Decisions(store_settings(directory), clock)):
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Who owns the directory could plant decisions."""
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(StateRefused, match="belongs to another user"):
        Decisions(store_settings(tmp_path), clock)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The sentence says where, why, and what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateRefused, match=r"cannot keep decisions in .*/file/state: .*--state"):
        Decisions(StoreSettings(tmp_path / "file" / "state", 1 << 20, "boot-1"), clock)


def test_memory_of_the_map_is_given_back(tmp_path: Path) -> None:
    """After any number of look-ups only a part of a large store stays mapped."""
    with closing(Decisions(store_settings(tmp_path, map_bytes=64 << 20), clock)) as store:
        for start in range(0, 60_000, 1000):
            store.keep([entry(number) for number in range(start, start + 1000)])
        for start in range(0, 60_000, 1000):
            result = store.sort_out([file(number) for number in range(start, start + 1000)], GENERATION)
            assert len(result.decided) == 1000
        assert mapped_bytes(tmp_path / FILE_NAME) < (tmp_path / FILE_NAME).stat().st_size * 0.75


def test_who_rests_has_nothing_mapped(tmp_path: Path) -> None:
    """However little was looked up; and what is kept answers as before."""
    with closing(Decisions(store_settings(tmp_path), clock)) as store:
        store.keep([entry(1)])
        assert mapped_bytes(tmp_path / FILE_NAME) > 0
        store.rest()
        assert mapped_bytes(tmp_path / FILE_NAME) == 0
        assert len(store.sort_out([file(1)], GENERATION).decided) == 1


def test_totals_of_walks_are_remembered(store: Decisions) -> None:
    """A walk's number of files is known to the next one like it, and to no other."""
    assert store.files_of_last_walk(b"a") == 0
    store.remember_walk(b"a", 123_456)
    assert store.files_of_last_walk(b"a") == 123_456
    assert store.files_of_last_walk(b"b") == 0


def test_remembered_walks_are_bounded(store: Decisions) -> None:
    """Thousands of different walks do not fill the store."""
    for number in range(300):
        store.remember_walk(number.to_bytes(4, "big"), number)
    assert store.files_of_last_walk((299).to_bytes(4, "big")) == 299
    assert store.files_of_last_walk((1).to_bytes(4, "big")) == 0


@pytest.mark.parametrize(
    ("generation", "until"), [(GENERATION, UNTIL), (GENERATION + 1, UNTIL), (GENERATION, 1)]
)
def test_one_file_is_looked_up_as_it_was_kept(store: Decisions, generation: int, until: int) -> None:
    """Whether or not that counts still is for the caller to say."""
    store.keep([entry(1, generation, until)])
    record = store.look_up(file(1).key, file(1).stamp)
    assert record == Record(generation, until, Outcome.NOT_DETECTED, digest(1))


def test_a_digest_alone_is_looked_up(store: Decisions) -> None:
    """It has no outcome."""
    store.keep([(file(1).key, encode(file(1).stamp, digest_only(digest(1))))])
    record = store.look_up(file(1).key, file(1).stamp)
    assert record is not None
    assert (record.outcome, record.sha256) == (0, digest(1))


def test_nothing_is_known_of_another_file(store: Decisions) -> None:
    """One that changed, one that was never met, one without a key, one whose record is damaged."""
    whole = entry(2)
    store.keep([entry(1), (whole[0], whole[1][:-1] + bytes([whole[1][-1] ^ 1]))])
    changed = file(1, size=11)
    for key, stamp in (
        (changed.key, changed.stamp),
        (file(3).key, file(3).stamp),
        (b"", file(1).stamp),
        whole,
    ):
        assert store.look_up(key, stamp[: len(file(1).stamp)]) is None


def test_a_file_is_looked_up_as_it_was_kept_last(store: Decisions) -> None:
    """And when it was revoked there is no more than its digest."""
    store.keep([entry(1)])
    store.keep([entry(1, GENERATION + 1)])
    record = store.look_up(file(1).key, file(1).stamp)
    assert record is not None
    assert record.generation == GENERATION + 1
    store.revoke([digest(1)])
    assert store.look_up(file(1).key, file(1).stamp) == digest_only(digest(1))


def test_thousands_of_look_ups_go_on(store: Decisions) -> None:
    """The map is opened anew from time to time."""
    store.keep([entry(number) for number in range(100)])
    for number in range(10_000):
        found = store.look_up(file(number % 200).key, file(number % 200).stamp)
        assert (found is not None) is (number % 200 < 100)


def test_a_fifo_in_its_place_is_set_aside(tmp_path: Path) -> None:
    """And not waited for."""
    os.mkfifo(tmp_path / FILE_NAME)
    with closing(Decisions(store_settings(tmp_path))) as store:
        assert "no regular file" in store.notice
        assert store.keep([entry(1)]) == 1
