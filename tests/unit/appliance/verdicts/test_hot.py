"""The table of records in memory."""

import random
import sys

import pytest

from appliance.verdicts.hot import LONGEST_RECORD, MAX_BITS, WAYS, HotTable

DIGEST = b"d" * 32
OTHER = b"e" * 32


def digests(count: int, seed: int = 1) -> list[bytes]:
    """Random digests."""
    source = random.Random(seed)
    return [source.randbytes(32) for _ in range(count)]


def of_one_bucket(count: int) -> list[bytes]:
    """Digests that lie in the same bucket, in whichever scope: only their last bytes differ."""
    return [b"same" * 7 + b"\0\0" + number.to_bytes(2, "big") for number in range(1, count + 1)]


def test_what_is_kept_is_found_in_order() -> None:
    """Each digest has its own record; one that is not known has none."""
    table = HotTable(0)
    table.keep(16, DIGEST, b"good")
    table.keep(16, OTHER, b"bad")
    assert table.find(16, [OTHER, b"x" * 32, DIGEST, OTHER]) == [b"bad", None, b"good", b"bad"]
    assert len(table) == 2
    assert table.find(16, []) == []


def test_a_new_record_takes_the_place_of_the_old() -> None:
    """A digest has one record."""
    table = HotTable(0)
    table.keep(16, DIGEST, b"good")
    table.keep(16, DIGEST, b"bad")
    assert table.find(16, [DIGEST]) == [b"bad"]
    assert len(table) == 1


def test_scopes_do_not_see_each_other() -> None:
    """The same digest may have a record in each scope; a scope is never given another's."""
    table = HotTable(0)
    digest = digests(1)[0]
    for scope in (0, 1, 16):
        table.keep(scope, digest, b"record of %d" % scope)
    for scope in (0, 1, 16):
        assert table.find(scope, [digest]) == [b"record of %d" % scope]
    for scope in range(300):
        table.keep(scope, DIGEST, b"record of %d" % scope)
    for scope in range(300):
        assert table.find(scope, [DIGEST]) in ([None], [b"record of %d" % scope])
    assert table.find(301, [DIGEST]) == [None]


def test_what_is_dropped_is_gone() -> None:
    """Dropping what is not there does nothing."""
    table = HotTable(0)
    table.keep(16, DIGEST, b"good")
    table.drop(16, DIGEST)
    table.drop(16, DIGEST)
    table.drop(16, bytes(32))
    assert table.find(16, [DIGEST, bytes(32)]) == [None, None]
    assert len(table) == 0
    table.keep(16, bytes(32), b"zero")
    assert table.find(16, [bytes(32)]) == [b"zero"]


def test_a_long_record_is_not_kept_and_replaces_a_short_one() -> None:
    """Texts of guests' choice take no memory, and never leave an outdated record behind."""
    table = HotTable(0)
    table.keep(16, DIGEST, b"good")
    table.keep(16, DIGEST, b"x" * (LONGEST_RECORD + 1))
    table.fill(16, [OTHER], [b"x" * (LONGEST_RECORD + 1)])
    assert table.find(16, [DIGEST, OTHER]) == [None, None]
    assert len(table) == 0


def test_a_full_bucket_gives_up_its_oldest() -> None:
    """Guests who choose digests of one bucket push out each other's, and nothing wrong is found."""
    table = HotTable(0)
    crowd = of_one_bucket(WAYS + 3)
    for number, digest in enumerate(crowd):
        table.keep(16, digest, b"%d" % number)
    assert table.find(16, crowd) == [None] * 3 + [b"%d" % number for number in range(3, WAYS + 3)]
    assert len(table) == WAYS


def test_reading_need_not_displace() -> None:
    """With displace=False a full bucket stays as it is, and one with room takes the record."""
    table = HotTable(0)
    crowd = of_one_bucket(WAYS + 1)
    for digest in crowd:
        table.keep(16, digest, b"good", displace=False)
    assert table.find(16, crowd) == [b"good"] * WAYS + [None]


def test_many_records_at_once_are_the_same_as_one_by_one() -> None:
    """`fill` and `keep` agree on where a record lies."""
    many = digests(1000)
    records = [b"%d" % (number % 7) for number in range(len(many))]
    filled, kept = HotTable(1000), HotTable(1000)
    filled.fill(16, many, records)
    for digest, record in zip(many, records, strict=True):
        kept.keep(16, digest, record)
    assert filled.find(16, many) == kept.find(16, many)
    assert len(filled) == len(kept) == len(many) - filled.find(16, many).count(None) > 900
    for digest in many:
        filled.keep(16, digest, b"new", displace=False)
    assert set(filled.find(16, many)) <= {None, b"new"}


def test_the_table_grows_with_what_is_kept() -> None:
    """A small table becomes a larger one; what it forgets meanwhile is never found wrongly."""
    many = digests(50_000)
    table = HotTable(0)
    for digest in many:
        table.keep(16, digest, digest[:1])
    found = table.find(16, many)
    assert all(record in (None, digest[:1]) for record, digest in zip(found, many, strict=True))
    assert len(table) > 10_000


def test_the_table_is_never_larger_than_its_bound() -> None:
    """Whatever is expected, 2**17 buckets are the most."""
    table = HotTable(10**9)
    assert len(table._oldest) == 1 << MAX_BITS
    assert not table.is_full


@pytest.mark.parametrize(
    "wrong", [[b""], [b"d" * 31], [b"d" * 33], [b"d" * 31, b"e" * 33], [b"d" * 16, b"d" * 48]]
)
def test_a_digest_of_a_wrong_length_is_not_known(wrong: list[bytes]) -> None:
    """Neither a part of a kept digest nor one with a tail is found."""
    table = HotTable(0)
    table.keep(16, DIGEST, b"good")
    table.keep(16, OTHER, b"good")
    assert table.find(16, wrong) == [None] * len(wrong)


def test_bytes_across_two_entries_are_no_digest() -> None:
    """A question made of the end of one entry and the beginning of the next finds and drops nothing."""
    table = HotTable(0)
    first = b"A" * 28 + b"same"
    second = b"B" * 10 + b"same" + b"B" * 14 + b"same"
    table.keep(16, first, b"good")
    table.keep(16, second, b"good")
    across = first[16:] + (1).to_bytes(2, sys.byteorder) + second[:14]
    assert table._buffer.find(across) > 0
    assert table.find(16, [across, first])[0] is None
    table.drop(16, across)
    table.keep(16, across, b"other")
    assert table.find(16, [first, second]) == [b"good", b"good"]
    assert table._place(across, table._start(16, across)) != table._buffer.find(across)


def test_more_different_records_than_numbers_only_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """When every number is given, the table begins anew rather than mixing records up."""
    monkeypatch.setattr(sys.modules[HotTable.__module__], "_MOST_NUMBERS", 10)
    table = HotTable(0)
    many = digests(25)
    for digest in many:
        table.keep(16, digest, digest[:8])
    assert table.find(16, many) == [None] * 20 + [digest[:8] for digest in many[20:]]
    table.fill(16, digests(8, seed=2), [b"%d" % number for number in range(8)])
    assert table.find(16, digests(8, seed=2)) == [b"%d" % number for number in range(8)]
    assert table.find(16, many) == [None] * 25


def test_what_is_found_is_what_was_kept_last() -> None:
    """Against a dict, over many random steps: the table may forget, and never tells anything else."""
    source = random.Random(3)
    table, truth = HotTable(0), dict[tuple[int, bytes], bytes]()
    pool = digests(600) + of_one_bucket(40)
    for step in range(20_000):
        scope, digest = source.choice((0, 16)), source.choice(pool)
        if source.random() < 0.2:
            table.drop(scope, digest)
            truth.pop((scope, digest), None)
        else:
            table.keep(scope, digest, b"%d" % (step % 50), displace=source.random() < 0.5)
            if table.find(scope, [digest]) != [None]:
                truth[scope, digest] = b"%d" % (step % 50)
            else:
                truth.pop((scope, digest), None)
    for scope in (0, 16):
        for digest, record in zip(pool, table.find(scope, pool), strict=True):
            assert record in (None, truth.get((scope, digest)))
