"""What tenants have decided, and the history of it."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from appliance.domain.policy import Consent, Decision, KsnType, Mode, SettingsChange
from appliance.state.environment import FILE, StateDamaged, StateEnvironment, StateError, packed, unpacked
from appliance.state.policies import Decided, PolicyChange, PolicyRefused, PolicyStore

TEXT = "What leaves: nothing.\n"
YES = Decided(Decision.ACCEPT, KsnType.PRIVATE, 1, TEXT)
NO = Decided(Decision.DECLINE, KsnType.PRIVATE, 1, TEXT)
YES_TO_GLOBAL = Decided(Decision.ACCEPT, KsnType.GLOBAL, 2, "Another text.\n")


@contextmanager
def opened(directory: Path, now: float = 1000.0) -> Iterator[PolicyStore]:
    """The policies of a directory."""
    environment = StateEnvironment.open(directory)
    yield PolicyStore(environment, lambda: now)
    environment.close()


def decisions(store: PolicyStore) -> list[Consent]:
    """Those of the history, the newest first."""
    return [entry for entry in list(store.history(None, 100)) if isinstance(entry, Consent)]


def test_a_policy_is_there_after_a_restart(tmp_path: Path) -> None:
    """With its decision: who, when, on which text."""
    with opened(tmp_path) as store:
        made = store.create("default", Mode.EXTENDED, YES, "uid-0")
    with opened(tmp_path) as store:
        assert store.policy("default") == made
        assert list(store.policies()) == [made]
        consent = made.accepted(KsnType.PRIVATE)
        assert consent is not None
        assert (consent.at, consent.actor, consent.version) == (1000.0, "uid-0", 1)
        assert consent.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
        assert store.texts(consent.sha256) == [TEXT]


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    """A tenant, a text, and what could be no tenant."""
    with opened(tmp_path) as store:
        assert list(store.policies()) == []
        assert [store.policy(name) for name in ("default", "", "a" * 600)] == [None] * 3
        assert [store.texts(beginning) for beginning in ("ab" * 32, "ab", "a")] == [[]] * 3


def test_a_second_policy_of_a_tenant_is_refused(tmp_path: Path) -> None:
    """And leaves no trace, not in the history either."""
    with opened(tmp_path) as store:
        made = store.create("default", Mode.STANDARD, NO, "uid-0")
        with pytest.raises(PolicyRefused, match="already"):
            store.create("default", Mode.EXTENDED, YES_TO_GLOBAL, "uid-1")
        assert store.policy("default") == made
        assert [consent.decision for consent in decisions(store)] == [Decision.DECLINE]
        assert store.texts(hashlib.sha256(YES_TO_GLOBAL.text.encode()).hexdigest()) == []


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "ä", "a\n", "\udcff"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """With what a name is; nor is there anything of that name to change."""
    with opened(tmp_path) as store:
        with pytest.raises(PolicyRefused, match="no name of a tenant"):
            store.create(name, Mode.STANDARD, YES, "uid-0")
        with pytest.raises(PolicyRefused, match="no policy"):
            store.change(name, PolicyChange(active=False), "uid-0")


def test_scopes_are_told_apart_and_the_first_is_the_default_tenants(tmp_path: Path) -> None:
    """Also across a restart, in whatever order the tenants come."""
    with opened(tmp_path) as store:
        scopes = [store.create(name, Mode.STANDARD, YES, "me").scope for name in ("b", "a.1-2_3")]
    with opened(tmp_path) as store:
        scopes += [store.create(name, Mode.STANDARD, YES, "me").scope for name in ("default", "C" * 64)]
        assert scopes == [17, 18, 16, 19]
        assert [policy.tenant for policy in list(store.policies())] == ["C" * 64, "a.1-2_3", "b", "default"]


def test_the_latest_decision_counts_and_all_are_kept(tmp_path: Path) -> None:
    """Who declines takes part in no type; newest first, of one tenant or of all."""
    with opened(tmp_path) as store:
        store.create("default", Mode.STANDARD, YES, "one")
        store.create("other", Mode.STANDARD, YES, "two")
        store.change("default", PolicyChange(decided=YES_TO_GLOBAL), "three")
        policy = store.change("default", PolicyChange(decided=NO), "four")
        assert policy.accepted(KsnType.PRIVATE) is None
        assert policy.accepted(KsnType.GLOBAL) is None
    with opened(tmp_path) as store:
        assert store.policy("default") == policy
        assert [consent.actor for consent in decisions(store)] == ["four", "three", "two", "one"]
        assert [entry.actor for entry in list(store.history("default", 2))] == ["four", "three"]
        assert list(store.history("nobody", 10)) == list(store.history(None, 0)) == []
        assert [entry.number for entry in list(store.history(None, 10))] == [6, 5, 4, 3, 2, 1]
        assert [entry.number for entry in list(store.history("other", 10))] == [4, 3]


def test_the_rest_of_a_policy_has_a_history_too(tmp_path: Path) -> None:
    """Each change of activity or mode with who made it; what changes nothing is none."""
    with opened(tmp_path) as store:
        store.create("default", Mode.STANDARD, YES, "one")
        store.change("default", PolicyChange(active=False), "two")
        store.change("default", PolicyChange(active=False), "three")
        policy = store.change("default", PolicyChange(mode=Mode.EXTENDED), "four")
        assert (policy.active, policy.mode) == (False, Mode.EXTENDED)
        assert policy.accepted(KsnType.PRIVATE) is not None
        *changes, began = list(store.history("default", 10))
        assert changes == [
            SettingsChange(4, 1000.0, "default", "four", False, Mode.EXTENDED),
            SettingsChange(3, 1000.0, "default", "two", False, Mode.STANDARD),
            SettingsChange(2, 1000.0, "default", "one", True, Mode.STANDARD),
        ]
        assert began == policy.decided[KsnType.PRIVATE]
        assert list(store.history(None, 1)) == changes[:1]


def test_a_text_is_found_by_how_its_sha256_begins(tmp_path: Path) -> None:
    """An odd number of digits too; where several begin so, two of them show that."""
    texts = [f"Text {number}.\n" for number in range(40)]
    with opened(tmp_path) as store:
        store.create("default", Mode.STANDARD, YES, "me")
        for text in texts:
            store.change("default", PolicyChange(decided=replace(YES, text=text)), "me")
        for text in texts:
            digest = hashlib.sha256(text.encode()).hexdigest()
            assert store.texts(digest[:8]) == store.texts(digest[:9]) == store.texts(digest) == [text]
        by_first = [hashlib.sha256(text.encode()).hexdigest()[0] for text in (*texts, TEXT)]
        counts = [len(store.texts(digit)) for digit in "0123456789abcdef"]
        assert counts == [min(2, by_first.count(digit)) for digit in "0123456789abcdef"]


def test_a_text_that_is_not_what_was_decided_on_is_damage(tmp_path: Path) -> None:
    """Also where its checksum was made anew."""
    digest = hashlib.sha256(TEXT.encode()).digest()
    with opened(tmp_path) as store:
        store.create("default", Mode.STANDARD, YES, "me")
    with lmdb.open(os.fspath(tmp_path / FILE), subdir=False, max_dbs=16) as env:
        texts = env.open_db(b"texts")
        with env.begin(write=True, db=texts) as txn:
            txn.put(digest, packed({"text": "What leaves: all of it.\n"}))
    with opened(tmp_path) as store, pytest.raises(StateDamaged, match="not what it was"):
        store.texts(digest.hex())


def test_whether_documents_are_allowed_is_kept(tmp_path: Path) -> None:
    """Not unless somebody said so; each change stands in the history."""
    with opened(tmp_path) as store:
        assert not store.create("default", Mode.EXTENDED, YES, "one").documents
        assert store.create("other", Mode.EXTENDED, YES, "one", documents=True).documents
        assert store.change("default", PolicyChange(documents=True), "two").documents
        store.change("default", PolicyChange(documents=True), "three")
        store.change("default", PolicyChange(active=False), "four")
    with opened(tmp_path) as store:
        assert [policy.documents for policy in list(store.policies())] == [True, True]
        assert not store.change("default", PolicyChange(documents=False), "five").documents
        found = [
            (entry.actor, entry.documents)
            for entry in list(store.history("default", 10))
            if isinstance(entry, SettingsChange)
        ]
        assert found == [("five", False), ("four", True), ("two", True), ("one", False)]


def test_where_an_earlier_version_wrote_nothing_of_documents_none_are_allowed(tmp_path: Path) -> None:
    """In a policy and in the history."""
    with opened(tmp_path) as store:
        store.create("default", Mode.EXTENDED, YES, "me", documents=True)
    with lmdb.open(os.fspath(tmp_path / FILE), subdir=False, max_dbs=16) as env:
        policies, decisions_db = env.open_db(b"policies"), env.open_db(b"decisions")
        with env.begin(write=True) as txn:
            for table, key in ((policies, b"default"), (decisions_db, (2).to_bytes(8, "big"))):
                fields = unpacked(txn.get(key, db=table) or b"", tmp_path)
                assert fields.pop("documents") is True
                txn.put(key, packed(fields), db=table)
    with opened(tmp_path) as store:
        (policy,) = list(store.policies())
        (change, _) = list(store.history(None, 10))
        assert isinstance(change, SettingsChange)
        assert (policy.documents, change.documents) == (False, False)


def test_a_change_of_nobodys_policy_is_refused(tmp_path: Path) -> None:
    """With what to do."""
    with opened(tmp_path) as store, pytest.raises(PolicyRefused, match="create one"):
        store.change("default", PolicyChange(active=True), "me")


def test_what_could_not_be_written_did_not_happen(tmp_path: Path) -> None:
    """A closed file gives StateError, never a policy."""
    with opened(tmp_path) as store:
        pass
    with pytest.raises(StateError):
        store.create("default", Mode.STANDARD, YES, "me")
    with opened(tmp_path) as store:
        assert (list(store.policies()), list(store.history(None, 10))) == ([], [])


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_policy_whose_decision_is_not_what_it_was_counts_for_nothing(tmp_path: Path, damage: str) -> None:
    """It is damage, and neither an acceptance nor a refusal."""
    with opened(tmp_path) as store:
        store.create("default", Mode.STANDARD, NO, "me")
    with lmdb.open(os.fspath(tmp_path / FILE), subdir=False, max_dbs=16) as env:
        decisions = env.open_db(b"decisions")
        with env.begin(write=True, db=decisions) as txn:
            key = (1).to_bytes(8, "big")
            if damage == "gone":
                txn.delete(key)
            else:
                txn.put(key, bytes(txn.get(key) or b"").replace(b"decline", b"accept!"))
    with opened(tmp_path) as store, pytest.raises(StateDamaged):
        store.policy("default")
