"""Which entries of the audit are a tenant's, and how many, without counting them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.state import audit as state_audit
from appliance.state import audited
from appliance.state.audit import Audit, AuditEntry
from appliance.state.audited import TABLE, Audited
from appliance.state.environment import STATE, StateEnvironment

NOW = 1_900_000_000.0
TENANTS = ("a", "acme", "acme2")


@contextmanager
def opened(directory: Path, most: int = 100_000) -> Iterator[StateEnvironment]:
    """The file of a directory, whose audit keeps so many entries."""
    environment = StateEnvironment.open(directory)
    environment.audit_entries = most
    try:
        yield environment
    finally:
        environment.close()


def note(environment: StateEnvironment, tenant: str, audit: Audit) -> None:
    """Enter a change of a tenant's, "" for one that is nobody's."""
    with environment.changing, environment.writing() as txn:
        audit.append(txn, AuditEntry(NOW, "who", "did", tenant=tenant))


def counted(environment: StateEnvironment, tenant: str) -> tuple[int, int, int]:
    """How many entries a tenant has: by their places, by going through them both ways."""
    rows = Audited(environment.table(TABLE))
    with environment.reading() as txn:
        ways = (list(rows.oldest(txn, tenant)), list(rows.newest(txn, tenant)))
        assert ways[0] == ways[1][::-1]
        return rows.count(txn, tenant), len(ways[0]), len(ways[1])


def test_the_places_tell_how_many_there_are_whatever_goes(tmp_path: Path) -> None:
    """As tenants' own bounds and the bound of all make old entries go, in any order of tenants."""
    draw = random.Random(5)
    with opened(tmp_path, 60) as environment:
        audit = Audit(environment)
        for step in range(300):
            note(environment, draw.choice(("", *TENANTS[: 1 + step // 100])), audit)
            for tenant in TENANTS:
                (by_places, upwards, downwards) = counted(environment, tenant)
                assert by_places == upwards == downwards <= 6
        assert counted(environment, "none") == (0, 0, 0)
        assert len(list(audit.newest(100))) <= 60


def test_a_bound_that_was_lowered_is_reached_after_a_restart_too(tmp_path: Path) -> None:
    """Some go with each change, until there are as many as may be."""
    with opened(tmp_path) as environment:
        audit = Audit(environment)
        for _ in range(250):
            note(environment, "acme", audit)
        assert counted(environment, "acme")[0] == 250
    left = []
    with opened(tmp_path, 50) as environment:
        audit = Audit(environment)
        for _ in range(3):
            note(environment, "acme", audit)
            left.append(counted(environment, "acme")[0])
    assert left == [51, 5, 5]


def test_a_change_looks_at_no_more_entries_however_many_there_are(tmp_path: Path, monkeypatch: Any) -> None:
    """What is written and what goes, a few rows: a tenant with many entries holds up nobody's change."""
    looked = 0

    def each(cursor: Any, there: bool, move: Any) -> Iterator[bytes]:
        nonlocal looked
        for key in keys_from(cursor, there, move):
            looked += 1
            yield key

    keys_from = audited.keys_from
    monkeypatch.setattr(audited, "keys_from", each)
    monkeypatch.setattr(state_audit, "keys_from", each)
    seen = {}
    with opened(tmp_path, 4000) as environment:
        audit = Audit(environment)
        for number in range(1, 402):
            looked = 0
            note(environment, "acme", audit)
            seen[number] = looked
    assert seen[10] == seen[400] <= 4
    assert seen[401] <= 6  # one goes


def test_a_state_whose_entries_have_no_places_gets_them_when_it_is_opened(tmp_path: Path) -> None:
    """As the program before this has written it; after that it is of today's schema, and goes on."""
    with opened(tmp_path, 50) as environment:
        audit = Audit(environment)
        for number in range(21):
            note(environment, TENANTS[number % 3], audit)
        as_before(environment)
    with opened(tmp_path, 50) as environment:
        assert environment.schema() == STATE.schema
        assert [counted(environment, tenant) for tenant in TENANTS] == [(5, 5, 5)] * 3
        for _ in range(4):
            note(environment, "acme", Audit(environment))
        assert [counted(environment, tenant)[0] for tenant in TENANTS] == [5, 5, 5]


def as_before(environment: StateEnvironment) -> None:
    """Have a state be one of schema 2: rows without places, and marked so."""
    tables = (environment.table(TABLE), environment.table(b"meta"))
    with environment.changing, environment.writing() as txn:
        for key in list(txn.cursor(db=tables[0]).iternext(values=False)):
            txn.put(key, b"", db=tables[0])
        txn.put(b"schema", (2).to_bytes(4, "little"), db=tables[1])


def test_what_is_not_committed_takes_no_place(tmp_path: Path) -> None:
    """A change that fails leaves none, and the next one has it."""
    with opened(tmp_path) as environment:
        audit = Audit(environment)
        note(environment, "acme", audit)
        with suppress(KeyError), environment.changing, environment.writing() as txn:
            audit.append(txn, AuditEntry(NOW, "who", "did", tenant="acme"))
            raise KeyError
        note(environment, "acme", audit)
        assert counted(environment, "acme") == (2, 2, 2)


def test_a_tenant_whose_entries_all_went_begins_anew(tmp_path: Path) -> None:
    """Others have pushed them out, by the bound of all."""
    with opened(tmp_path, 10) as environment:
        audit = Audit(environment)
        note(environment, "acme", audit)
        for _ in range(10):
            note(environment, "", audit)
        assert counted(environment, "acme") == (0, 0, 0)
        note(environment, "acme", audit)
        assert counted(environment, "acme") == (1, 1, 1)
