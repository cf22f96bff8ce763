"""The disclosure ledger as requests meet it: durable before, in groups, and nothing sent where it fails."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.domain.policy import KsnType, Mode
from appliance.ksn import ledger as ksn_ledger
from appliance.ksn.asker import Asker, Disclosure
from appliance.ksn.ledger import NOT_SENT, DisclosureLedger, LedgerFailed
from appliance.ksn.reputation import Call, Part, Subject
from appliance.ksn.statement import disclosed, request_for, submission
from appliance.state.environment import StateEnvironment
from appliance.state.ledger import LedgerStore
from tests.support.scanning import until

ASKER = Asker(17, "another", "guest", KsnType.GLOBAL, Mode.STANDARD, 3)


def disclosure(number: int = 0) -> Disclosure:
    """A question about a digest."""
    return Disclosure("service", ASKER, request_for(Subject(Call.HASH, f"{number:064x}"), Mode.STANDARD))


class Disk:
    """Keeps entries in memory. groups: as they came; fails: whether it does; released: it goes on then."""

    def __init__(self) -> None:
        self.groups: list[list[Mapping[str, Any]]] = []
        self.fails = False
        self.released = threading.Event()
        self.released.set()
        self.writing = 0
        self.loop_thread = threading.get_ident()

    @property
    def entries(self) -> list[Mapping[str, Any]]:
        """All that is durable."""
        return [entry for group in self.groups for entry in group]

    def append(self, payloads: Sequence[Mapping[str, Any]]) -> int:
        """Keep them, when the disk is let go on."""
        assert threading.get_ident() != self.loop_thread
        self.writing += 1
        assert self.released.wait(60)
        if self.fails:
            raise OSError("the disk is full")
        first = len(self.entries) + 1
        self.groups.append(list(payloads))
        return first


@pytest.fixture
def disk() -> Disk:
    """A quick disk."""
    return Disk()


@pytest.fixture
async def ledger(disk: Disk) -> AsyncIterator[DisclosureLedger]:
    """On the disk; closed when the test is over."""
    made = DisclosureLedger(disk, lambda: 1000.0)
    yield made
    disk.released.set()
    await made.close()


async def test_a_request_is_written_down_to_the_letter(disk: Disk, ledger: DisclosureLedger) -> None:
    """For whom, by which decision, to whom, what: the fields are those that the Statement lists."""
    assert await ledger.before(disclosure(5)) == 1
    assert disk.entries == [
        {
            "kind": "request",
            "at": 1000.0,
            "tenant": "another",
            "guest": "guest",
            "type": "global",
            "mode": "standard",
            "statement": 3,
            "service": "service",
            "call": "hash",
            "fields": {"digest": f"{5:064x}"},
        }
    ]
    assert (ledger.entries, ledger.failing) == (1, "")


async def test_content_is_named_and_not_kept(disk: Disk, ledger: DisclosureLedger) -> None:
    """By its SHA-256, offset and length."""
    request = submission(Part(b"d" * 32, 4096, b"secret"), Mode.EXTENDED)
    await ledger.before(Disclosure("service", ASKER, request))
    (entry,) = disk.entries
    assert entry["fields"] == disclosed(request)
    digest = hashlib.sha256(b"secret").hexdigest()
    assert entry["fields"]["content"] == f"sha256 {digest}, offset 4096, length 6"
    assert "secret" not in str(entry)


async def test_nobody_goes_on_before_it_is_durable(disk: Disk, ledger: DisclosureLedger) -> None:
    """While the disk is slow the request waits, and the loop does not."""
    disk.released.clear()
    asked = asyncio.get_running_loop().create_task(ledger.before(disclosure()))
    await until(lambda: disk.writing, "it is being written")
    assert not asked.done()
    disk.released.set()
    assert await asked == 1


async def test_many_at_once_share_a_transaction_and_each_has_its_number(
    disk: Disk, ledger: DisclosureLedger
) -> None:
    """All who came while one was being written are in the next group."""
    disk.released.clear()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ledger.before(disclosure(0)))]
        await until(lambda: disk.writing, "the first is being written")
        asked += [group.create_task(ledger.before(disclosure(number))) for number in range(1, 500)]
        await asyncio.sleep(0)
        disk.released.set()
    assert [len(entries) for entries in disk.groups] == [1, 499]
    for number, task in enumerate(asked):
        assert disk.entries[task.result() - 1]["fields"] == {"digest": f"{number:064x}"}
    assert ledger.entries == 500


async def test_what_could_not_be_written_is_an_error_for_all_of_the_group(
    disk: Disk, ledger: DisclosureLedger
) -> None:
    """It says why, as `failing` does until it goes again."""
    disk.fails = True
    outcomes = await asyncio.gather(
        *(ledger.before(disclosure(number)) for number in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [LedgerFailed] * 3
    assert ledger.failing == str(outcomes[0]) == "the disk is full"
    disk.fails = False
    assert await ledger.before(disclosure()) == 1
    assert (ledger.failing, ledger.entries) == ("", 1)


async def test_too_many_who_wait_are_refused_at_once(
    disk: Disk, ledger: DisclosureLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs does not fill the memory; those who wait already are written."""
    monkeypatch.setattr(ksn_ledger, "MOST_WAITING", 3)
    disk.released.clear()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ledger.before(disclosure()))]
        await until(lambda: disk.writing, "the first is being written")
        asked += [group.create_task(ledger.before(disclosure())) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(LedgerFailed, match="too slow"):
            await ledger.before(disclosure())
        disk.released.set()
    assert sorted(task.result() for task in asked) == [1, 2, 3, 4]


async def test_how_a_request_ended_goes_with_the_next_group(disk: Disk, ledger: DisclosureLedger) -> None:
    """Nobody waits for it; it stands before what is asked later."""
    number = await ledger.before(disclosure(1))
    ledger.after(number, "Red")
    assert len(disk.entries) == 1
    assert await ledger.before(disclosure(2)) == 3
    assert disk.entries[1] == {"kind": "result", "at": 1000.0, "of": 1, "result": "Red"}
    assert ledger.entries == 3


async def test_flushing_writes_results_that_no_request_follows(disk: Disk, ledger: DisclosureLedger) -> None:
    """Also those that came while a group was being written; with nothing to write nothing is."""
    await ledger.flush()
    assert disk.groups == []
    number = await ledger.before(disclosure())
    disk.released.clear()
    asked = asyncio.get_running_loop().create_task(ledger.before(disclosure()))
    await until(lambda: disk.writing == 2, "the second is being written")
    ledger.after(number, "timed out")
    disk.released.set()
    await ledger.flush()
    assert await asked == 2
    assert [entry.get("result") for entry in disk.entries] == [None, None, "timed out"]


async def test_a_result_that_could_not_be_written_is_tried_again(
    disk: Disk, ledger: DisclosureLedger
) -> None:
    """Whoever flushes hears of it; nothing is lost or doubled."""
    number = await ledger.before(disclosure())
    ledger.after(number, "Green")
    disk.fails = True
    with pytest.raises(LedgerFailed, match="the disk is full"):
        await ledger.flush()
    with pytest.raises(LedgerFailed):
        await ledger.before(disclosure())
    disk.fails = False
    await ledger.flush()
    await ledger.flush()
    assert [entry["kind"] for entry in disk.entries] == ["request", "result"]


async def test_who_is_cancelled_before_his_turn_leaves_no_entry(disk: Disk, ledger: DisclosureLedger) -> None:
    """Nothing was sent, so nothing is written."""
    disk.released.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(ledger.before(disclosure(1)))
        await until(lambda: disk.writing, "the first is being written")
        second = group.create_task(ledger.before(disclosure(2)))
        third = group.create_task(ledger.before(disclosure(3)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({second})
        disk.released.set()
    assert (first.result(), third.result(), second.cancelled()) == (1, 2, True)
    assert [entry["fields"]["digest"][-1] for entry in disk.entries] == ["1", "3"]


async def test_who_is_cancelled_while_it_is_written_has_that_noted(
    disk: Disk, ledger: DisclosureLedger
) -> None:
    """The entry is there, though nothing was sent: a second one says so."""
    disk.released.clear()
    asked = asyncio.get_running_loop().create_task(ledger.before(disclosure()))
    await until(lambda: disk.writing, "it is being written")
    asked.cancel()
    await asyncio.wait({asked})
    disk.released.set()
    await ledger.flush()
    assert asked.cancelled()
    assert [(entry.get("of"), entry.get("result")) for entry in disk.entries] == [(None, None), (1, NOT_SENT)]


async def test_who_is_cancelled_just_when_it_is_written_has_that_noted(
    disk: Disk, ledger: DisclosureLedger
) -> None:
    """By another of the same group, which goes on first: the number was there, and was never received."""

    async def ask_and_cancel() -> int:
        number = await ledger.before(disclosure(1))
        second.cancel()
        return number

    async with asyncio.TaskGroup() as group:
        first = group.create_task(ask_and_cancel())
        second = group.create_task(ledger.before(disclosure(2)))
    await ledger.flush()
    assert (first.result(), second.cancelled()) == (1, True)
    assert [(entry.get("of"), entry.get("result")) for entry in disk.entries][2:] == [(2, NOT_SENT)]


async def test_closing_writes_all_that_waits_and_takes_no_more(disk: Disk, ledger: DisclosureLedger) -> None:
    """Those who wait are answered; who comes later is refused."""
    ledger.after(await ledger.before(disclosure()), "Red")
    disk.released.clear()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(ledger.before(disclosure()))
        await until(lambda: disk.writing == 2, "it is being written")
        closing = group.create_task(ledger.close())
        await asyncio.sleep(0)
        with pytest.raises(LedgerFailed, match="closed"):
            await ledger.before(disclosure())
        disk.released.set()
    assert closing.done()
    assert asked.result() == 3
    assert len(disk.entries) == 3


async def test_closing_on_a_full_disk_ends_and_says_why(disk: Disk, ledger: DisclosureLedger) -> None:
    """The SVM can stop all the same."""
    ledger.after(await ledger.before(disclosure()), "Red")
    disk.fails = True
    await ledger.close()
    assert ledger.failing == "the disk is full"


async def test_it_stands_in_the_state_and_chains(tmp_path: Path) -> None:
    """With the real file beneath, from many askers at once."""
    environment = StateEnvironment.open(tmp_path)
    store = LedgerStore(environment)
    ledger = DisclosureLedger(store, lambda: 1000.0)

    async def ask(number: int) -> int:
        written = await ledger.before(disclosure(number))
        assert store.count() >= written
        ledger.after(written, "not found")
        return written

    numbers = await asyncio.gather(*map(ask, range(200)))
    await ledger.close()
    entries = {entry.number: entry.payload for entry in store.entries()}
    for number, written in enumerate(numbers):
        assert entries[written]["fields"] == {"digest": f"{number:064x}"}
    ended = [entry["of"] for entry in entries.values() if entry["kind"] == "result"]
    assert sorted(ended) == sorted(numbers)
    assert (store.verify().problem, len(entries), ledger.entries) == ("", 400, 400)
    environment.close()
