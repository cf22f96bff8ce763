"""What lies on the disk, against the book: read beside an SVM at rest, or when it is dead."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from appliance.domain.digest import DIGEST_BYTES
from appliance.domain.outcome import Disposition, Source
from appliance.domain.policy import DEFAULT_TENANT, SettingsChange
from appliance.domain.verdict import Verdict
from appliance.state.audit import AuditEntry
from appliance.state.environment import StateDamaged, StateEnvironment
from appliance.state.events import EventStore, EventTerms, events_file
from appliance.state.ledger import LedgerStore
from appliance.state.policies import PolicyStore
from appliance.state.store import StateStore
from appliance.verdicts import record
from appliance.verdicts.environment import open_for_reading
from tests.chaos import register_disk
from tests.chaos.book import Book, Change
from tests.chaos.broken import Broken
from tests.chaos.contents import Kind

ALL = 1_000_000


def compare(directory: Path, book: Book) -> None:
    """Hold state, events and cache against the book. Raises Broken with the promise that was not kept."""
    try:
        _compare_state(directory, book)
        _compare_events(directory, book)
    except StateDamaged as error:
        raise Broken(f"what was written cannot be read: {error}") from error
    _compare_cache(directory, book)


def begin(directory: Path, book: Book) -> None:
    """Take what an SVM at rest has of tenant "default", whose guests were enrolled before the first round."""
    with closing(StateEnvironment.open_to_read(directory)) as environment:
        entries = list(StateStore(environment, lambda: 0.0, ALL).audit(ALL))[::-1]
        there = register_disk.read(environment, entries, [DEFAULT_TENANT])
        book.page(DEFAULT_TENANT).register = there[DEFAULT_TENANT]


def _compare_state(directory: Path, book: Book) -> None:
    with closing(StateEnvironment.open_to_read(directory)) as environment:
        state = StateStore(environment, lambda: 0.0, ALL)
        entries = list(state.audit(ALL))[::-1]
        audit = [Change(entry.digest.hex(), entry.action) for entry in entries if entry.digest]
        _compare_words(entries)
        overrides = {digest: override.allow for (_, digest), override in state.overrides().items()}
        settings = [
            Change("policy documents", str(entry.documents))
            for entry in reversed(list(PolicyStore(environment, lambda: 0.0).history(None, ALL)))
            if isinstance(entry, SettingsChange)
        ]
        registers = register_disk.read(environment, entries, book.pages)
        ledger = LedgerStore(environment)
        check = ledger.verify()
        noted = {
            str(entry.payload["fields"].get("digest", "")).lower()
            for entry in ledger.entries()
            if entry.payload["kind"] == "request"
        }
    for tenant, page in book.pages.items():
        page.settle(registers[tenant])
    _settle(book, audit, settings)
    if overrides != {digest: word == "allow" for digest, word in book.in_force().items() if word != "clear"}:
        raise Broken("the overrides are not what their audit says")
    if check.problem:
        raise Broken(f"the ledger: {check.problem}")
    if not book.disclosed <= noted:
        raise Broken(
            f"KSN was asked about what the ledger does not have: {sorted(book.disclosed - noted)[:3]}"
        )


def _compare_words(entries: Sequence[AuditEntry]) -> None:
    """Each entry of an override, and of a policy, begins with what the one before of the same ended with."""
    words = dict[tuple[str, str], str]()
    for entry in entries:
        if entry.digest or entry.action == "policy":
            about = (entry.digest.hex(), entry.subject)
            if entry.before != words.get(about, ""):
                raise Broken(f"the audit: {entry} was {words.get(about, '')!r} before")
            if (entry.action == "clear") != (not entry.after):
                raise Broken(f"the audit does not say how that is now: {entry}")
            words[about] = entry.after


def _settle(book: Book, audit: list[Change], settings: list[Change]) -> None:
    """Both tables have an order of their own; put them together in the order of the book."""
    rest = {"policy": iter(settings[1:]), "audit": iter(audit)}  # the first one is the policy's beginning
    found = []
    for change in [*book.changes, *([book.pending] if book.pending else [])]:
        there = next(rest["policy" if change.what.startswith("policy") else "audit"], None)
        if there is not None:
            found.append(there)
    found += [each for left in rest.values() for each in left]
    book.settle(found)


def _compare_events(directory: Path, book: Book) -> None:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    with closing(StateEnvironment.open_to_read(directory, events_file(1 << 30))) as environment:
        events = EventStore(environment, EventTerms())
        for _, event in events.from_number(1, ALL):
            if event.said is not None:
                numbers[event.said.path.decode()].append(event.said.number)
    for journal, sent in book.sent.items():
        there = numbers[journal]
        if there != list(range(1, len(there) + 1)) or not book.kept[journal] <= len(there) <= sent:
            raise Broken(
                f"events of {journal}: {len(there)} are there, {book.kept[journal]} were acknowledged, "
                f"{sent} sent; in order: {there == sorted(set(there))}"
            )


def _compare_cache(directory: Path, book: Book) -> None:
    environment, table = open_for_reading(directory)
    with environment, environment.begin(db=table) as txn:
        for key, value in txn.cursor():
            digest = bytes(key)[-DIGEST_BYTES:]
            kind = book.kinds.get(digest)
            if kind is None:
                raise Broken(f"the cache has a verdict of {digest.hex()}, which nobody ever held")
            _earned(digest, kind, record.decode(bytes(value)))


def _earned(digest: bytes, kind: Kind, verdict: Verdict) -> None:
    bad = kind is Kind.EICAR or (kind is Kind.RED and verdict.source is Source.KSN)
    if verdict.disposition is not (Disposition.MALICIOUS if bad else Disposition.NOT_DETECTED):
        said = f"{verdict.disposition.name} by {verdict.source.name}"
        raise Broken(f"{digest.hex()} is {kind}, and the cache says {said}")
