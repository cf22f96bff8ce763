"""The crash test itself: it runs, and it finds a promise that was broken. Never: that 500 rounds pass."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from appliance.domain.event import Event, EventKind, Said
from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.policy import Decision, KsnType, Mode
from appliance.domain.verdict import Verdict
from appliance.state.events import Entry, EventStore, EventTerms
from appliance.state.identities import IdentityStore
from appliance.state.ledger import LedgerStore
from appliance.state.policies import Decided, PolicyChange, PolicyStore
from appliance.state.store import StateStore
from appliance.verdicts.store import VerdictStore
from tests.chaos import disk
from tests.chaos.book import Book, Change
from tests.chaos.broken import Broken
from tests.chaos.contents import CLEAN, MALICIOUS, NOT_DETECTED, Content, Kind
from tests.support.apart import ROOT, environment
from tests.support.contents import EICAR

DEADLINE = 240
HELD = Content(EICAR, Kind.EICAR)
ONE, TWO = bytes(31) + b"\1", bytes(31) + b"\2"
JOURNAL = "ab" * 16


def test_a_short_run_keeps_every_promise() -> None:
    """Three rounds; the seed is said, so that they can be repeated."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--rounds", "3", "--seed", "5"],
        env=environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=DEADLINE,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("seed 5, 3 rounds, in ")
    assert "all promises kept" in ran.stdout


def kept(directory: Path) -> Book:
    """A state directory in which all is there that its book has."""
    book = Book(directory / "log")
    with closing(StateStore.open(directory, lambda: 5.0, 1000)) as state:
        IdentityStore(state.environment)
        policies = PolicyStore(state.environment, lambda: 5.0)
        policies.create("default", Mode.STANDARD, Decided(Decision.ACCEPT, KsnType.PRIVATE, 1, "text"), "me")
        for digest, allow in ((ONE, True), (TWO, False)):
            state.set_override(digest, Override(allow, "chaos", "me", 5), "me")
            book.asks(Change(digest.hex(), "allow" if allow else "block"))
            book.acknowledged()
        policies.change("default", PolicyChange(documents=True), "me")
        book.asks(Change("policy documents", "True"))
        book.acknowledged()
        LedgerStore(state.environment).append([{"kind": "request", "fields": {"digest": HELD.digest.hex()}}])
    with closing(EventStore.open(directory, EventTerms(), 5.0)) as events:
        said = [Said(number, path=JOURNAL.encode()) for number in (1, 2)]
        entries = [Entry(Event(5.0, EventKind.ACTION, said=each), "o", b"j" * 16) for each in said]
        events.append(entries, 5.0)
    verdict(directory, HELD.digest, Disposition.MALICIOUS)
    book.holds(HELD)
    book.disclosed.add(HELD.digest.hex())
    book.sent[JOURNAL] = 3
    book.events_kept(JOURNAL, 2)
    return book


def verdict(directory: Path, digest: bytes, disposition: Disposition) -> None:
    """Put a verdict into the cache."""
    with closing(VerdictStore.open(directory, 8 << 20, lambda: 5.0)) as store:
        threat = "T" if disposition is Disposition.MALICIOUS else ""
        store.put(16, digest, Verdict(disposition, Source.ENGINE, 7, 0, threat=threat, engine="eicar"))
        store.flush()


def test_what_is_as_it_was_acknowledged_is_found_so(tmp_path: Path) -> None:
    """Also a change that was asked for and not answered, whether it is there or not."""
    book = kept(tmp_path)
    disk.compare(tmp_path, book)
    book.asks(Change(bytes(32).hex(), "block"))
    disk.compare(tmp_path, book)
    assert book.pending is None
    with closing(StateStore.open(tmp_path, lambda: 5.0, 1000)) as state:
        state.set_override(bytes(32), Override(False, "chaos", "me", 5), "me")
    book.asks(Change(bytes(32).hex(), "block"))
    disk.compare(tmp_path, book)
    assert book.changes[-1].value == "block"


@pytest.mark.parametrize(
    ("table", "key", "what"),
    [
        ("audit", (3).to_bytes(8, "big"), "lost: .*02"),
        ("audit", (1).to_bytes(8, "big"), "the audit: .*was '' before"),
        ("overrides", ONE, "the overrides are not what their audit says"),
        ("decisions", (3).to_bytes(8, "big"), "lost: .*documents"),
        ("ledger", (1).to_bytes(8, "big"), "the ledger: entry 1 is missing"),
    ],
)
def test_a_record_that_is_gone_is_found(tmp_path: Path, table: str, key: bytes, what: str) -> None:
    """Of each table whose changes are acknowledged."""
    book = kept(tmp_path)
    with closing(StateStore.open(tmp_path, lambda: 5.0, 1000)) as state:
        db = state.environment.table(table.encode())
        with state.environment.changing, state.environment.writing() as txn:
            assert txn.delete(key, db=db)
    with pytest.raises(Broken, match=what):
        disk.compare(tmp_path, book)


def test_what_was_disclosed_and_not_written_down_is_found(tmp_path: Path) -> None:
    """The service heard of it, the ledger did not."""
    book = kept(tmp_path)
    book.disclosed.add("ff" * 32)
    with pytest.raises(Broken, match=r"the ledger does not have: .*ffff"):
        disk.compare(tmp_path, book)


@pytest.mark.parametrize("numbers", [[1], [1, 3], [1, 2, 3, 4]])
def test_events_that_are_lost_or_made_up_are_found(tmp_path: Path, numbers: list[int]) -> None:
    """Fewer than were acknowledged, one left out, or more than were ever sent."""
    book = kept(tmp_path)
    for path in tmp_path.glob("events.lmdb*"):
        path.unlink()
    with closing(EventStore.open(tmp_path, EventTerms(), 5.0)) as events:
        said = [Said(number, path=JOURNAL.encode()) for number in numbers]
        events.append([Entry(Event(5.0, EventKind.ACTION, said=each), "o", b"j" * 16) for each in said], 5.0)
    with pytest.raises(Broken, match=f"events of {JOURNAL}: {len(numbers)} are there, 2 were acknowledged"):
        disk.compare(tmp_path, book)


def test_a_verdict_that_was_not_earned_is_found(tmp_path: Path) -> None:
    """In the cache, and in what a guest is told; a digest that nobody ever held has none."""
    book = kept(tmp_path)
    for outcome in (CLEAN, NOT_DETECTED):
        with pytest.raises(Broken, match="is eicar and a guest was told"):
            book.told(HELD.digest, outcome)
    book.told(HELD.digest, MALICIOUS)
    verdict(tmp_path, HELD.digest, Disposition.CLEAN)
    with pytest.raises(Broken, match="is eicar, and the cache says CLEAN"):
        disk.compare(tmp_path, book)
    verdict(tmp_path, HELD.digest, Disposition.MALICIOUS)
    verdict(tmp_path, TWO, Disposition.NOT_DETECTED)
    with pytest.raises(Broken, match="which nobody ever held"):
        disk.compare(tmp_path, book)


def test_the_log_is_written_before_anything_is_compared(tmp_path: Path) -> None:
    """Each acknowledgement is a line, in order, where a killed harness leaves it."""
    kept(tmp_path)
    said = [json.loads(line)["what"] for line in (tmp_path / "log").read_text().splitlines()]
    assert said == ["asked", "acknowledged"] * 3 + ["events kept"]
