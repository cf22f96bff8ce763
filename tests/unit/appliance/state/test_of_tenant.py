"""Which records are whose: in order, as the tables are, whatever happens to these or to who writes them."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.domain.identity import Certificate, EnrolledGuest, Token
from appliance.domain.policy import Decision, KsnType, Mode
from appliance.state import of_tenant
from appliance.state.environment import STATE, StateDamaged, StateEnvironment, StateFile, packed
from appliance.state.identities import IdentityStore, IdentityTables
from appliance.state.of_tenant import TABLE, Kind, OfTenant, certificate_rows, key_in, time_in
from appliance.state.policies import Decided, PolicyStore

TENANTS = ("acme", "acme2", "a", "other")
DECIDED = Decided(Decision.ACCEPT, KsnType.PRIVATE, 1, "the text")


@contextmanager
def opened(directory: Path) -> Iterator[IdentityStore]:
    """The store of a directory, as an SVM opens it."""
    environment = StateEnvironment.open(directory)
    try:
        yield IdentityStore(environment)
    finally:
        environment.close()


def certificate(number: int, holder: str) -> Certificate:
    """The certificate of a number, later than those of lower ones."""
    return Certificate(number.to_bytes(32, "big"), "1", f"kvm-light-agent://{holder}", number, number + 100.5)


def rows(store: IdentityStore) -> tuple[set[bytes], set[bytes]]:
    """The rows that there are, and those that the tables ask for."""
    environment = store.environment
    table = environment.table(TABLE)
    with environment.changing, environment.writing() as txn:
        there = {bytes(key) for key in txn.cursor(db=table).iternext(values=False)}
        asked = set(of_tenant.rows_of_all(environment.lmdb, txn, environment.path))
    return there, asked


def change(tables: IdentityTables, draw: random.Random) -> None:
    """One thing that may happen to a record."""
    number, tenant = draw.randrange(50), draw.choice(TENANTS)
    key = number.to_bytes(32, "big")
    guest = EnrolledGuest(f"u-{number}", tenant, "vm", b"", 1.0, key)
    holder = draw.choice((f"guest/{tenant}/u", f"administrator/tenant-admin/{tenant}/n", "svm/x"))
    match draw.randrange(6):
        case 0:
            tables.put_guest(guest)
        case 1:
            if (known := tables.guest(guest.uuid)) is not None:
                tables.drop_guest(known)
        case 2:
            tables.put_certificate(certificate(number, holder))
        case 3:
            tables.drop_certificate(key)
        case 4:
            tables.put_token(
                Token(key, tenant, draw.choice(("", guest.uuid)), 1.0, number + 0.5, draw.choice("ab"))
            )
        case 5:
            tables.drop_token(key)


def write_until_killed(directory: Path, seed: int) -> None:
    """Change what is kept, and say each time that it is on the disk; never ends."""
    draw = random.Random(seed)
    with opened(directory) as store:
        while True:
            with store.writing() as tables:
                for _ in range(20):
                    change(tables, draw)
            print("kept", flush=True)


def test_each_row_is_there_as_records_come_move_and_go(tmp_path: Path) -> None:
    """And none besides: a guest that moves is nobody's else, and what is dropped is nobody's."""
    draw = random.Random(7)
    with opened(tmp_path) as store:
        for _ in range(40):
            with store.writing() as tables:
                for _ in range(10):
                    change(tables, draw)
            there, asked = rows(store)
            assert there == asked
        assert len(there) > 100


@pytest.mark.parametrize("seed", range(3))
def test_index_and_tables_agree_after_kill_9(tmp_path: Path, seed: int) -> None:
    """Whatever was being written: both are written in one transaction."""
    code = (
        "import sys; from pathlib import Path; "
        "from tests.unit.appliance.state.test_of_tenant import write_until_killed as write; "
        "write(Path(sys.argv[1]), int(sys.argv[2]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path, str(seed)], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        for _ in range(5 + seed):
            assert writer.stdout.readline() == b"kept\n"
        writer.send_signal(signal.SIGKILL)
    with opened(tmp_path) as store:
        there, asked = rows(store)
        assert there == asked
        assert there


def test_a_state_without_the_index_gets_it_when_it_is_opened(tmp_path: Path) -> None:
    """As one that the program before this has written; after that it is of today's schema."""
    draw = random.Random(3)
    with opened(tmp_path) as store:
        with store.writing() as tables:
            for _ in range(200):
                change(tables, draw)
        PolicyStore(store.environment, lambda: 5.0).create("acme", Mode.STANDARD, DECIDED, "me")
        before, _ = rows(store)
        as_before(store.environment)
    with opened(tmp_path) as store:
        assert store.environment.schema() == STATE.schema
        assert rows(store) == (before, before)


def test_a_state_of_schema_3_learns_who_made_which_token(tmp_path: Path) -> None:
    """What it had of the index stays."""
    with opened(tmp_path) as store:
        token = Token(bytes(32), "acme", "u-1", 1.0, 9.0, "host-agent h")
        with store.writing() as tables:
            tables.put_token(token)
        before, _ = rows(store)
        made = {tenant + b"\0bhost-agent h\0" + token.digest for tenant in (b"", b"acme")}
        assert made < before
        as_before(store.environment, 3, made)
        assert rows(store)[0] == before - made
    with opened(tmp_path) as store:
        assert store.environment.schema() == STATE.schema
        assert rows(store) == (before, before)
        with store.reading() as tables:
            assert (
                tables.tokens_by("host-agent h") == tables.tokens_by("host-agent h", "acme") == [token.digest]
            )
            assert tables.tokens_by("host-agent") == tables.tokens_by("host-agent h", "acm") == []


def as_before(environment: StateEnvironment, schema: int = 1, without: set[bytes] | None = None) -> None:
    """Have a state be one of an older schema: without rows of the index (None for all), and marked so."""
    tables = (environment.table(TABLE), environment.table(b"meta"))
    with environment.changing, environment.writing() as txn:
        if without is None:
            txn.drop(tables[0])
        for row in without or ():
            txn.delete(row, db=tables[0])
        txn.put(b"schema", schema.to_bytes(4, "little"), db=tables[1])


@pytest.mark.parametrize(("table", "fields"), [(b"guests", {}), (b"tokens", {"tenant": 5, "uuid": ""})])
def test_a_record_without_a_meaning_stops_the_upgrade(
    tmp_path: Path, table: bytes, fields: dict[str, object]
) -> None:
    """It is damage, and said; nothing is changed."""
    with opened(tmp_path) as store:
        as_before(store.environment)
        handle = store.environment.table(table)
        with store.environment.changing, store.environment.writing() as txn:
            txn.put(b"k" * 32, packed(fields), db=handle)
    with pytest.raises(StateDamaged, match="has no meaning"):
        StateEnvironment.open(tmp_path)
    StateEnvironment.open(tmp_path, StateFile()).close()


def test_rows_of_a_tenant_are_its_own_in_order_both_ways(tmp_path: Path) -> None:
    """Also beside a tenant whose name begins alike, and from any row on."""
    environment, (x, y, z) = StateEnvironment.open(tmp_path), (letter * 40 for letter in (b"x", b"y", b"z"))
    index, table = OfTenant(environment.table(TABLE), environment.path), environment.table(TABLE)
    with environment.changing, environment.writing() as txn:
        for tenant in ("a", "acme", "acme2", ""):
            for letter_of in (b"c", b"d", b"g"):
                for row in (x, y, z):
                    txn.put(tenant.encode() + b"\0" + letter_of + row, b"", db=table)
    with environment.reading() as txn:
        for tenant in ("a", "acme", "acme2", ""):
            for kind in (Kind.CERTIFICATES, Kind.DECISIONS, Kind.GUESTS):
                assert list(index.upwards(txn, tenant, kind)) == [x, y, z]
                assert list(index.upwards(txn, tenant, kind, after=x)) == [y, z]
                assert list(index.upwards(txn, tenant, kind, after=x + b"a")) == [y, z]
                assert list(index.upwards(txn, tenant, kind, beginning=b"y")) == [y]
                assert list(index.downwards(txn, tenant, kind)) == [z, y, x]
                assert list(index.downwards(txn, tenant, kind, before=z)) == [y, x]
                assert list(index.downwards(txn, tenant, kind, before=x)) == []
        assert list(index.upwards(txn, "none", Kind.GUESTS)) == []
        assert list(index.downwards(txn, "none", Kind.GUESTS)) == []
    environment.close()


def test_a_row_tells_its_key_and_its_time(tmp_path: Path) -> None:
    """So what is over is found without what is not."""
    with opened(tmp_path) as store:
        with store.writing() as tables:
            tables.put_certificate(certificate(7, "svm/x"))
        with store.environment.reading() as txn:
            (row,) = store.index.upwards(txn, "", Kind.ENDS)
        assert (key_in(row), time_in(row)) == ((7).to_bytes(32, "big"), 107)


def test_a_time_without_bounds_has_a_row() -> None:
    """Before the epoch counts as that; the record itself is whoever reads it to judge."""
    fields = {"holder": "kvm-light-agent://svm/x", "issued_at": -5.0, "ends_at": 1e30}
    times = {row[1:2]: time_in(row[2:]) for row in certificate_rows(b"k" * 32, fields)}
    assert times == {b"a": 0, b"c": 0, b"e": (1 << 64) - 1}
