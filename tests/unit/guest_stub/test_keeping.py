"""Tests of keeping decisions as a scan goes."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from guest_stub import keeping
from guest_stub.decision import FileId
from guest_stub.decisions import Decisions
from guest_stub.found import FoundFile
from guest_stub.keeping import Keeper
from guest_stub.looking import Looked
from guest_stub.outcome import Outcome
from guest_stub.records import Seen, identify
from guest_stub.svm_link.values import LinkAnswer
from tests.support.held_files import until
from tests.support.stub_scans import store_settings

NOW = 1_700_000_000.0
GENERATION = 7
NOTHING = LinkAnswer(Outcome.NOT_DETECTED, GENERATION, 3600.0)


def looked(number: int) -> Looked:
    """A file that was hashed."""
    key, stamp = identify(FileId(65024, number, 10, 10**18, 10**18))
    return Looked.known(FoundFile(key, stamp, "/d", str(number), 10), number.to_bytes(32, "big"))


@pytest.fixture
def decisions(tmp_path: Path) -> Iterator[Decisions]:
    """An open store."""
    with closing(Decisions(store_settings(tmp_path), lambda: NOW)) as store:
        yield store


async def test_a_full_batch_is_committed_at_once(
    decisions: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed scan loses is bounded."""
    monkeypatch.setattr(keeping, "BATCH", 3)
    keeper = Keeper(decisions)
    keeper.keep([looked(1), looked(2)], NOTHING, NOW)
    assert decisions.count() == 0
    keeper.keep([looked(3)], NOTHING, NOW)
    assert decisions.count() == 3
    await keeper.close()


async def test_a_single_decision_does_not_wait_for_ever(
    decisions: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a moment it is committed without others."""
    monkeypatch.setattr(keeping, "SECONDS", 0.01)
    keeper = Keeper(decisions)
    keeper.keep([looked(1)], NOTHING, NOW)
    await until(lambda: decisions.count() == 1)
    [(_, record)] = decisions.sort_out([looked(1).file], GENERATION).decided
    assert record.outcome == Outcome.NOT_DETECTED
    await keeper.close()


async def test_an_answer_is_kept_as_it_was_given(decisions: Decisions) -> None:
    """Outcome, words, generation and time come back with the file."""
    keeper = Keeper(decisions)
    answer = LinkAnswer(Outcome.MALICIOUS, GENERATION, 60.0, "Eicar", "eicar", "b/c.exe", category="Test")
    keeper.keep([looked(1)], answer, NOW)
    await keeper.close()
    [(_, record)] = decisions.sort_out([looked(1).file], GENERATION).decided
    assert (record.outcome, record.said()) == (Outcome.MALICIOUS, ("Eicar", "eicar", "b/c.exe", "Test"))
    assert (record.generation, record.valid_until) == (GENERATION, NOW + 60)


async def test_what_has_no_key_is_not_kept(decisions: Decisions) -> None:
    """A file that may change unseen leaves nothing."""
    keeper = Keeper(decisions)
    keeper.keep([looked(1)._replace(key=b"")], NOTHING, NOW)
    keeper.keep_digests([looked(2)._replace(key=b"")])
    await keeper.close()
    assert decisions.count() == 0


async def test_an_unanswered_file_leaves_its_digest(decisions: Decisions) -> None:
    """The next scan asks again without reading it."""
    keeper = Keeper(decisions)
    keeper.keep_digests([looked(1)])
    await keeper.close()
    assert decisions.sort_out([looked(1).file], GENERATION).known == [(looked(1).file, looked(1).sha256)]


async def test_what_is_revoked_counts_no_more(decisions: Decisions) -> None:
    """Also what was waiting to be committed; the digest stays, so that the daemon finds the file."""
    keeper = Keeper(decisions)
    keeper.keep([looked(1), looked(2)], NOTHING, NOW)
    keeper.revoked([looked(1).sha256])
    await keeper.close()
    known = decisions.sort_out([looked(1).file, looked(2).file], GENERATION).known
    assert known == [(looked(1).file, looked(1).sha256)]


async def test_the_files_are_told_and_dropped_where_somebody_looks_for_them(decisions: Decisions) -> None:
    """In a thread, so that the loop does not wait for the disk."""
    keeper, told = Keeper(decisions), list[Seen]()
    keeper.tell = told.extend
    keeper.keep([looked(1), looked(2)], NOTHING, NOW)
    keeper.revoked([looked(1).sha256])
    await keeper.caught_up()
    assert told == [Seen(looked(1).key, looked(1).stamp, looked(1).sha256, Outcome.NOT_DETECTED)]
    assert decisions.count() == 1
    await keeper.close()


async def test_what_is_revoked_in_a_row_is_looked_for_once(decisions: Decisions) -> None:
    """Ten thousand revocations do not read the store ten thousand times; all of them count."""
    keeper, passes = Keeper(decisions), list[set[bytes]]()
    real = decisions.revoke

    def revoke(digests: set[bytes], tell: None) -> int:
        passes.append(digests)
        return real(digests, tell)

    decisions.revoke = revoke  # type: ignore[method-assign, assignment]
    keeper.keep([looked(number) for number in range(100)], NOTHING, NOW)
    for number in range(100):
        keeper.revoked([looked(number).sha256])
        if number == 50:
            await until(lambda: bool(passes))
    await keeper.caught_up()
    assert len(passes) <= 2
    assert set.union(*passes) == {looked(number).sha256 for number in range(100)}
    assert len(decisions.sort_out([looked(number).file for number in range(100)], GENERATION).known) == 100
    await keeper.close()


async def test_what_may_change_unseen_is_kept_for_a_search_alone(decisions: Decisions) -> None:
    """It answers for nothing; a revocation finds it, also before it is committed."""
    keeper, told = Keeper(decisions), list[Seen]()
    keeper.tell = told.extend
    keeper.keep_loose([looked(1), looked(2)._replace(key=b"")])
    keeper.flush()
    keeper.keep_loose([looked(3)._replace(sha256=looked(1).sha256)])
    assert decisions.sort_out([looked(1).file], GENERATION).fresh == [looked(1).file]
    keeper.revoked([looked(1).sha256])
    await keeper.close()
    assert [seen.key for seen in told] == [looked(1).key, looked(3).key]


async def test_other_news_of_the_svm_change_nothing(decisions: Decisions) -> None:
    """A new generation and a lost SVM leave what is kept as it is."""
    keeper = Keeper(decisions)
    keeper.keep([looked(1)], NOTHING, NOW)
    keeper.generation_changed(8)
    keeper.lost("gone")
    await asyncio.wait_for(keeper.close(), 30)
    assert decisions.count() == 1
