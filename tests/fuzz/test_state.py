"""Records of every table of state.lmdb as somebody wrote them: sound checksums, fields of any kind.

Whoever reads or changes something then is told that the state is damaged, or gets what can be put into a
message; nothing else comes out of it.
"""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lmdb
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.caller import Caller, NotAdmitted, Role
from appliance.domain.guest import DEFAULT_TENANT_SCOPE
from appliance.domain.override import Override
from appliance.domain.policy import Decision, KsnType, Mode
from appliance.domain.scan import ScanOrder
from appliance.domain.tenants import Realm
from appliance.identity.ending import By
from appliance.identity.issuing import Enrolled, IdentityRefused, NewToken, TokenRefused
from appliance.ksn_assembly import sent_lately
from appliance.rpc.admin_views import audit_message, override_message
from appliance.rpc.ksn_views import history_message
from appliance.rpc.scans_admin import scan_message
from appliance.scans.desk import ScanView
from appliance.state.audit import AuditEntry
from appliance.state.environment import StateDamaged, StateError, packed
from appliance.state.ledger import LedgerStore
from appliance.state.policies import Decided, PolicyChange, PolicyRefused, PolicyStore
from appliance.state.positions import PositionStore
from appliance.state.scan_orders import ScanOrderStore
from appliance.state.store import StateStore
from appliance.state.tenant_names import TenantNames
from tests.fuzz.mutation import mutated
from tests.support.identities import MACHINE, NOW, PROVIDER, Office, asked, office, shown
from tests.support.properties import fuzzing

TABLES = (
    *("overrides", "audit", "tenants", "policies", "decisions", "texts", "tokens", "guests"),
    *("certificates", "scans", "positions", "ledger", "meta", "of_tenant", "audited"),
)
# A chain stands before the records of the first, numbers are in the second, nothing in the last two.
WITHOUT_CHECKSUM = ("ledger", "meta", "of_tenant", "audited")
SUBMISSION = {"kind": "request", "call": "submit", "at": NOW}
ACME = Realm(DEFAULT_TENANT_SCOPE + 1, "acme")
DIGEST = b"d" * 32
Rows = dict[str, dict[bytes, bytes]]

VALUES = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, -1, 1 << 31, 1 << 32, 1 << 63, 1 << 64, 10**400, 253_402_300_800])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\ud800", "ff", "f", "a" * 5000, "accept", "global", "good", "consent", "settings"])
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.sampled_from(["global", "private", "files", "at"]), st.integers(), max_size=2)
)


@dataclass
class Desk:
    """Every store of one file, with something in each table."""

    office: Office
    enrolled: Enrolled
    token: NewToken

    @classmethod
    def filled(cls, desk: Office) -> "Desk":
        """One of each kind."""
        environment = desk.environment
        store = StateStore(environment, desk.clock, 3)
        for realm in (Realm(), ACME):
            store.set_override(
                DIGEST, Override(True, "because", "paula", int(NOW), int(NOW) + 5), "paula", realm
            )
        decided = Decided(Decision.ACCEPT, KsnType.PRIVATE, 1, "the text")
        policies = PolicyStore(environment, desk.clock)
        policies.create("acme", Mode.STANDARD, decided, "paula")
        policies.change("acme", PolicyChange(active=False), "paula")
        order = ScanOrder(b"s" * 16, "uid-0.pid-1", (b"/etc", b"/\xff"), "paula", int(NOW), int(NOW))
        ScanOrderStore(environment).write([order])
        PositionStore(environment).set("feed", 7)
        request = {"kind": "request", "at": NOW, "call": "hash", "service": "s", "tenant": "acme"}
        LedgerStore(environment).append([request])
        return cls(desk, desk.enrolled("acme"), desk.issuer.token("acme", "", 3600, PROVIDER))

    def readers(self) -> Iterator[Callable[[], object]]:
        """Everything that can be read; as far as it goes to an administrator, as a message."""
        environment, registry = self.office.environment, self.office.registry
        store, policies = (
            StateStore(environment, self.office.clock, 3),
            PolicyStore(environment, self.office.clock),
        )
        scans, ledger, names = ScanOrderStore(environment), LedgerStore(environment), TenantNames(environment)
        uuid, pem = self.enrolled.guest.uuid, shown(self.enrolled)
        yield lambda: [override_message(each, "acme") for each in store.overrides().values()]
        yield lambda: [audit_message(entry) for entry in store.audit(100)]
        yield lambda: [audit_message(entry) for entry in store.audit(100, "acme")]
        yield lambda: list(policies.policies())
        yield lambda: policies.policy("acme")
        yield lambda: [history_message(entry) for entry in policies.history(None, 100)]
        yield lambda: [history_message(entry) for entry in policies.history("acme", 100)]
        yield lambda: policies.texts("", "acme")
        yield lambda: [text.encode() for text in policies.texts("")]
        yield lambda: [
            scan_message(ScanView(each, each.state, each.counts, each.text)) for each in scans.all()
        ]
        yield lambda: PositionStore(environment).get("feed")
        yield lambda: sent_lately(ledger, NOW)
        yield lambda: list(ledger.entries())
        yield ledger.verify
        yield lambda: (names.scope_of("acme"), names.scope_of("nobody"), names.name_of(18), names.scopes())
        yield lambda: (registry.caller(pem), registry.guest(pem))
        yield lambda: registry.known(uuid)
        for tenant in ("", "acme"):
            yield functools.partial(lambda tenant: list(registry.guests(tenant)), tenant)
            for guests in (True, False):
                yield functools.partial(lambda *which: list(registry.certificates(*which)), tenant, guests)

    def writers(self) -> Iterator[Callable[[], object]]:
        """What can be changed where these records are."""
        environment, clock = self.office.environment, self.office.clock
        store, policies = StateStore(environment, clock, 3), PolicyStore(environment, clock)
        issuer, ender, by = self.office.issuer, self.office.ender, By(PROVIDER, "because")
        decided = Decided(Decision.DECLINE, KsnType.PRIVATE, 1, "the text")
        uuid, sha256 = self.enrolled.guest.uuid, self.enrolled.guest.current
        yield lambda: store.set_override(DIGEST, Override(False, "x", "y", 1), "z", ACME)
        yield lambda: store.note(AuditEntry(NOW, "paula", "token", tenant="acme"))
        yield lambda: policies.change("acme", PolicyChange(active=True, decided=decided), "paula")
        yield lambda: policies.create("fresh", Mode.STANDARD, decided, "paula")
        yield lambda: PositionStore(environment).set("feed", 8)
        yield lambda: LedgerStore(environment).append([{"at": NOW}])
        yield lambda: ender.shown(sha256, MACHINE)
        yield lambda: issuer.renew(sha256, asked())
        yield lambda: issuer.enrol(self.token.text, asked())
        yield lambda: issuer.token("acme", uuid, 3600, Caller("anna", Role.TENANT_ADMIN, "acme"))
        yield lambda: ender.revoke_certificate(sha256[:4], by)
        yield lambda: ender.revoke_guest(uuid, by)
        yield lambda: ender.remove_guest(uuid, by)
        yield ender.age
        yield lambda: store.clear_override(DIGEST, "x", "z", ACME)

    def rows(self) -> Rows:
        """All that is written, by table and key."""
        found: Rows = {}
        for name in TABLES:
            table = self.office.environment.table(name.encode())
            with self.office.environment.reading() as txn:
                found[name] = {bytes(key): bytes(data) for key, data in txn.cursor(db=table)}
        return found

    def put(self, rows: Rows) -> None:
        """Have this written, and nothing else."""
        environment = self.office.environment
        tables = {name: environment.table(name.encode()) for name in rows}
        with environment.changing, environment.writing() as txn:
            for name, content in rows.items():
                txn.drop(tables[name], delete=False)
                for key, data in content.items():
                    txn.put(key, data, db=tables[name])


@contextmanager
def desk_in(directory: Path) -> Iterator[Desk]:
    """A file with something in each table, which nobody waits for to be on the disk."""
    unsynced = functools.partial(lmdb.open, sync=False)
    with patch.object(lmdb, "open", unsynced), office(directory) as made:
        yield Desk.filled(made)


def sealed(body: bytes) -> bytes:
    """With a checksum that fits."""
    return body + xxhash.xxh3_64_digest(body)


@st.composite
def odd_values(draw: st.DrawFn, sound: bytes, checksummed: bool) -> bytes:
    """The record with one field of another kind, without one, or no such record at all."""
    if not checksummed:
        chained = sound[:32]
        bodies = st.dictionaries(st.sampled_from(["at", "fields", "tenant"]), VALUES, max_size=3)
        entry = bodies.map(lambda body: chained + json.dumps(SUBMISSION | body).encode())
        return draw(mutated(st.just(sound)) | entry)
    fields: dict[str, Any] = json.loads(sound[:-8])
    how = draw(st.sampled_from(["change", "change", "change", "drop", "add", "bytes"]))
    name = draw(st.sampled_from(sorted(fields)))
    if how == "change":
        fields[name] = draw(VALUES)
    elif how == "drop":
        del fields[name]
    elif how == "add":
        fields[draw(st.sampled_from(["ended", "ended_at", "tenant", "self", "digest", "kind"]))] = draw(
            VALUES
        )
    else:
        return sealed(draw(mutated(st.just(sound[:-8]))))
    return packed(fields)


@pytest.mark.hypothesis
@pytest.mark.parametrize("table", TABLES)
def test_records_of_no_sense_are_damage_to_whoever_meets_them(tmp_path: Path, table: str) -> None:
    """StateDamaged, or as if the record said what it says; what is changed meanwhile is refused or done."""
    with desk_in(tmp_path) as desk:
        sound = desk.rows()
        keys = sorted(sound[table])
        assert keys

        @settings(fuzzing, max_examples=40)
        @given(st.data())
        def meet(data: st.DataObject) -> None:
            key = data.draw(st.sampled_from(keys))
            value = data.draw(odd_values(sound[table][key], table not in WITHOUT_CHECKSUM))
            odd_key = data.draw(st.just(key) | st.just(key) | mutated(st.just(key)))[:100] or b"\0"
            rest = {name: row for name, row in sound[table].items() if name != key}
            try_out(desk, {table: {**rest, odd_key: value}})
            desk.put(sound)

        meet()


def try_out(desk: Desk, rows: Rows) -> None:
    """Read everything, and change everything, with these rows in place of the sound ones."""
    desk.put(rows)
    for read in desk.readers():
        with suppress(StateDamaged, NotAdmitted):
            read()
    for write in desk.writers():
        with suppress(StateError, PolicyRefused, IdentityRefused, TokenRefused, NotAdmitted):
            write()


FINDINGS: list[tuple[str, dict[str, object]]] = [
    ("overrides", {"allow": True}),  # TypeError
    ("overrides", {"allow": True, "reason": "", "author": "", "set_at": "5"}),  # came out of a message
    ("policies", {"scope": 17, "active": True, "mode": 1}),  # KeyError
    ("policies", {"scope": 17, "active": True, "mode": 1, "decided": []}),  # AttributeError
    ("policies", {"scope": "x", "active": True, "mode": 1, "decided": {}}),
    ("decisions", {"kind": "consent"}),  # KeyError
    ("texts", {"text": "\ud800"}),  # UnicodeEncodeError
    ("positions", {"position": None}),  # TypeError
    ("tenants", {"scope": 17}),  # KeyError
    ("tokens", {"tenant": "acme", "uuid": "", "created_at": 1, "expires_at": "x", "author": ""}),
    ("certificates", {"serial": "", "holder": "nobody", "issued_at": 1, "ends_at": 1 << 60}),  # BadName
]


@pytest.mark.parametrize(("table", "fields"), FINDINGS)
def test_what_was_found_is_damage(tmp_path: Path, table: str, fields: dict[str, object]) -> None:
    """Each of these was another error once; now each is StateDamaged to somebody who reads it."""
    with desk_in(tmp_path) as desk:
        desk.put({table: dict.fromkeys(desk.rows()[table], packed(fields))})
        told = 0
        for meet in (*desk.readers(), *desk.writers()):
            try:
                meet()
            except StateDamaged:
                told += 1
            except (StateError, PolicyRefused, IdentityRefused, TokenRefused, NotAdmitted):
                continue
        assert told


def test_what_was_found_of_the_ledger_is_damage(tmp_path: Path) -> None:
    """Whoever read it went round for ever: a key of another length, a count of more than there are."""
    with desk_in(tmp_path) as desk:
        sound = desk.rows()
        (entry,) = sound["ledger"].values()
        desk.put({"ledger": {b"\x01": entry}})
        with pytest.raises(StateDamaged):
            list(LedgerStore(desk.office.environment).entries())
        desk.put({"ledger": sound["ledger"], "meta": {**sound["meta"], b"ledger": b"\x7f" * 40}})
        assert len(list(LedgerStore(desk.office.environment).newest())) == 1
        desk.put({"meta": {**sound["meta"], b"ledger": b"\xff" * 41}})
        with pytest.raises(StateDamaged):
            LedgerStore(desk.office.environment).append([{"at": NOW}])


def test_scopes_that_are_used_up_are_damage(tmp_path: Path) -> None:
    """The next one was written as of four bytes: OverflowError, or none at all."""
    with desk_in(tmp_path) as desk:
        for number in (b"\xff" * 4, b"\xff" * 8, b"", b"\xff" * 5000):
            desk.put({"meta": {**desk.rows()["meta"], b"next scope": number}})
            with pytest.raises(StateDamaged):
                desk.office.issuer.token("fresh", "", 3600, PROVIDER)
