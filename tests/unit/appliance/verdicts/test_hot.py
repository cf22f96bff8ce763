"""The table of records in memory."""

import os
import random
import subprocess
import sys

import pytest

from appliance.verdicts.hot import LONGEST_RECORD, MAX_BITS, WAYS, HotTable
from appliance.verdicts.judged import Judged

DIGEST = b"d" * 32
OTHER = b"e" * 32
DEADLINE = 60


def digests(count: int, seed: int = 1) -> list[bytes]:
    """Random digests."""
    source = random.Random(seed)
    return [source.randbytes(32) for _ in range(count)]


def of_one_bucket(count: int) -> list[bytes]:
    """Digests that lie in the same bucket, in whichever scope: only their first bytes differ."""
    return [number.to_bytes(2, "big") + b"same" * 7 + b"sa" for number in range(1, count + 1)]


def of_one_tag(count: int) -> list[bytes]:
    """Digests of one bucket whose first bytes are equal too: only their last bytes differ."""
    return [b"same" * 7 + number.to_bytes(4, "big") for number in range(1, count + 1)]


def each_alone(table: HotTable, scope: int, digests: list[bytes]) -> list[bytes | None]:
    """What the table says when it is asked for one digest after another."""
    return [record for digest in digests for record in table.find(scope, [digest])]


def test_what_is_kept_is_found_in_order() -> None:
    """Each digest has its own record; one that is not known has none."""
    table = HotTable(0)
    table.keep(16, DIGEST, b"good")
    table.keep(16, OTHER, b"bad")
    asked = [OTHER, b"x" * 32, DIGEST, OTHER]
    assert table.find(16, asked) == each_alone(table, 16, asked) == [b"bad", None, b"good", b"bad"]
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
        for times in (1, 10):
            found = set(table.find(scope, [DIGEST] * times))
            assert found in ({None}, {b"record of %d" % scope})
    assert table.find(301, [DIGEST] * 10) == [None] * 10


def test_a_digest_of_two_scopes_in_one_bucket_is_two_records() -> None:
    """What is dropped or replaced in one scope stays in the other, and nothing of before comes back."""
    table = HotTable(0)
    place = table._tag_and_bucket(0, DIGEST)
    one, other = [scope for scope in range(1, 2000) if table._tag_and_bucket(scope, DIGEST) == place][:2]
    table.fill(one, [DIGEST], [b"one"])
    table.fill(other, [DIGEST], [b"other"])
    assert (table.find(one, [DIGEST]), table.find(other, [DIGEST])) == ([b"one"], [b"other"])
    table.keep(other, DIGEST, b"new")
    assert (table.find(one, [DIGEST]), table.find(other, [DIGEST])) == ([b"one"], [b"new"])
    table.drop(other, DIGEST)
    assert (table.find(one, [DIGEST]), table.find(other, [DIGEST] * 10)) == ([b"one"], [None] * 10)
    table.drop(one, DIGEST)
    assert len(table) == 0


def test_a_digest_is_compared_to_its_last_bit() -> None:
    """Whichever single bit differs, it is another digest, also where tags and buckets are the same."""
    for kept in (*digests(3), *of_one_bucket(1)):
        table = HotTable(0)
        table.keep(16, kept, b"good")
        number = int.from_bytes(kept, "big")
        near = [(number ^ 1 << bit).to_bytes(32, "big") for bit in range(256)]
        assert table.find(16, [*near, kept]) == [None] * 256 + [b"good"]
        assert each_alone(table, 16, near) == [None] * 256


def test_digests_of_one_tag_are_never_taken_for_each_other() -> None:
    """Guests who choose them make the table forget, and no more."""
    table = HotTable(0)
    crowd = of_one_tag(3 * WAYS)
    for number, digest in enumerate(crowd):
        table.keep(16, digest, b"%d" % number)
    for number, (record, alone) in enumerate(
        zip(table.find(16, crowd), each_alone(table, 16, crowd), strict=True)
    ):
        assert record in (None, b"%d" % number)
        assert alone in (None, b"%d" % number)
    assert each_alone(table, 16, crowd).count(None) == 2 * WAYS
    for digest in crowd:
        table.drop(16, digest)
    assert table.find(16, crowd) == [None] * len(crowd)
    assert len(table) == 0


def test_what_is_dropped_is_gone() -> None:
    """Dropping what is not there does nothing."""
    table = HotTable(0)
    table.keep(16, DIGEST, b"good")
    table.drop(16, DIGEST)
    table.drop(16, DIGEST)
    table.drop(16, bytes(32))
    assert table.find(16, [DIGEST, bytes(32)]) == [None, None]
    assert len(table) == 0


def test_a_digest_that_begins_with_two_zero_bytes_is_not_kept() -> None:
    """Zero is the tag of a free entry; no such digest is mistaken for one."""
    table = HotTable(0)
    zeros = [bytes(32), bytes(2) + b"z" * 30]
    for scope in (0, 16):
        for digest in zeros:
            table.keep(scope, digest, b"zero")
            table.fill(scope, [digest], [b"zero"])
            table.drop(scope, digest)
        assert table.find(scope, zeros * 10) == [None] * 20
        assert each_alone(table, scope, zeros) == [None, None]
    assert len(table) == 0


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


def test_many_records_at_once_are_the_same_as_one_by_one() -> None:
    """`fill` and `keep` agree on where a record lies."""
    many = digests(1000)
    records = [b"%d" % (number % 7) for number in range(len(many))]
    filled, kept = HotTable(1000), HotTable(1000)
    filled.fill(16, many, records)
    for digest, record in zip(many, records, strict=True):
        kept.keep(16, digest, record)
    assert filled.find(16, many) == kept.find(16, many) == records
    assert len(filled) == len(kept) == len(many)
    for digest in many:
        filled.keep(16, digest, b"new")
    assert filled.find(16, many) == [b"new"] * len(many)
    assert len(filled) == len(many)


def test_what_has_no_room_when_many_come_at_once_is_left_out() -> None:
    """A bucket that is full stays as it is, and the free place of one that was dropped is taken."""
    table = HotTable(0)
    crowd = of_one_bucket(2 * WAYS)
    table.fill(16, crowd[:WAYS], [b"first"] * WAYS)
    table.drop(16, crowd[3])
    table.fill(16, crowd[WAYS:], [b"second"] * WAYS)
    assert table.find(16, crowd[:WAYS]) == [b"first"] * 3 + [None] + [b"first"] * (WAYS - 4)
    assert table.find(16, crowd[WAYS:]) == [b"second"] + [None] * (WAYS - 1)
    assert len(table) == WAYS


def test_the_table_grows_with_what_is_kept() -> None:
    """A small table becomes a larger one and takes along what it held, of every scope."""
    many = digests(50_000)
    table = HotTable(0)
    for index, digest in enumerate(many):
        table.keep(index % 5, digest, digest[:1])
    for scope in range(5):
        ours = many[scope::5]
        found = table.find(scope, ours)
        assert all(record in (None, digest[:1]) for record, digest in zip(found, ours, strict=True))
        assert found.count(None) < len(ours) / 50
    assert len(table) > 49_000


def test_the_table_is_never_larger_than_its_bound() -> None:
    """Whatever is expected, 2**15 buckets are the most: some 42 MiB."""
    table = HotTable(10**9)
    assert table._tags.nbytes + table._entries.nbytes == (1 << MAX_BITS) * WAYS * 34 < 43 << 20
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
    assert table.find(16, wrong * 4) == [None] * len(wrong * 4)


def test_a_digest_of_a_wrong_length_is_not_kept() -> None:
    """Nor are its neighbours spoilt: the file might hold anything."""
    table = HotTable(0)
    table.fill(16, [DIGEST, b"d" * 31, b"d" * 33, OTHER], [b"good"] * 4)
    table.keep(16, b"e" * 31, b"bad")
    assert table.find(16, [DIGEST, OTHER, DIGEST, OTHER]) == [b"good"] * 4
    assert len(table) == 2


def test_more_different_records_than_numbers_only_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """When every number is given, the table begins anew rather than mixing records up."""
    monkeypatch.setattr(sys.modules[HotTable.__module__], "MOST_NUMBERS", 11)
    table = HotTable(0)
    judged = Judged(lambda record: record[0] % 100, 100)
    many = digests(25)
    for digest in many:
        table.keep(16, digest, digest[:8])
        judgements, _ = table.judge(16, many, judged)
        assert all(
            judgement in (100, digest[0] % 100) for judgement, digest in zip(judgements, many, strict=True)
        )
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
            truth[scope, digest] = b"%d" % (step % 50)
            table.keep(scope, digest, truth[scope, digest])
            assert table.find(scope, [digest]) == [truth[scope, digest]]
    judged = Judged(int, 100)
    for scope in (0, 16):
        known = [truth.get((scope, digest)) for digest in pool]
        for found in (table.find(scope, pool), each_alone(table, scope, pool)):
            assert all(record in (None, right) for record, right in zip(found, known, strict=True))
        judgements, missing = table.judge(scope, pool, judged)
        assert judgements == [100 if record is None else int(record) for record in table.find(scope, pool)]
        assert missing == [index for index, judgement in enumerate(judgements) if judgement == 100]


@pytest.mark.parametrize("times", [1, 100])
def test_a_batch_is_judged_by_its_records(times: int) -> None:
    """Each distinct record once, small batches like large ones; what is not known here is named."""
    table = HotTable(0)
    table.keep(16, DIGEST, b"4")
    asked: list[bytes] = []

    def judge(record: bytes) -> int:
        asked.append(record)
        return int(record)

    judged = Judged(judge, 0)
    assert table.judge(16, [DIGEST, OTHER] * times, judged) == ([4, 0] * times, list(range(1, 2 * times, 2)))
    table.keep(16, OTHER, b"5")
    assert table.judge(16, [DIGEST, OTHER] * times, judged) == ([4, 5] * times, [])
    assert asked == [b"4", b"5"]
    assert table.judge(17, [DIGEST, OTHER] * times, judged) == ([0] * 2 * times, list(range(2 * times)))


def loaded_by(code: str) -> str:
    """What a new interpreter prints."""
    environ = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    return done.stdout.strip()


def test_numpy_starts_no_threads() -> None:
    """The library for matrices that comes with it would start one for each core."""
    code = "import os, appliance.verdicts.hot; print(len(os.listdir('/proc/self/task')))"
    assert loaded_by(code) == "1"


def test_commands_do_not_wait_for_numpy() -> None:
    """It takes a tenth of a second to import, which only an SVM that serves needs."""
    code = "import sys, appliance.cli.program; print('grpc' in sys.modules, 'numpy' in sys.modules)"
    assert loaded_by(code) == "True False"
