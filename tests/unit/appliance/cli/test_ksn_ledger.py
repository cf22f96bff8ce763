"""svm ksn ledger."""

from contextlib import closing
from pathlib import Path
from typing import Any

import lmdb

from appliance.cli.ksn_ledger import MOST_OPEN, NO_RESULT, joined
from appliance.state.environment import FILE, StateEnvironment
from appliance.state.ledger import LedgerEntry, LedgerStore
from tests.support.commands import NOON, Ran, svm, svm_program

HEX = "ab" * 32


def request(tenant: str = "acme", at: float = NOON, **fields: str) -> dict[str, Any]:
    """A request as the ledger has it."""
    return {
        "kind": "request",
        "at": at,
        "tenant": tenant,
        "guest": "uid-0.pid-9",
        "type": "global",
        "mode": "standard",
        "statement": 1,
        "service": "opentip",
        "call": "hash",
        "fields": fields or {"digest": HEX},
    }


def result(of: int, said: str = "Red") -> dict[str, Any]:
    """How a request ended."""
    return {"kind": "result", "at": NOON, "of": of, "result": said}


def written(directory: Path, *entries: dict[str, Any]) -> tuple[str, Path]:
    """Write a ledger as an SVM does that has ended since; return the arguments that name it."""
    with closing(StateEnvironment.open(directory)) as environment:
        LedgerStore(environment).append(entries)
    return ("--dir", directory)


def show(*arguments: object) -> Ran:
    """Run `svm ksn ledger`."""
    return svm("ksn", "ledger", *arguments)


def test_each_request_is_shown_with_its_fields_and_its_result(tmp_path: Path) -> None:
    """In the order in which they were sent; one whose result never came says so."""
    here = written(tmp_path, request(), request("other", digest="\x1b[2J"), result(1))
    ran = show(*here)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "1  2030-03-17 17:46:40 UTC  hash to opentip",
        "  for     tenant acme, guest uid-0.pid-9",
        "  by      global Statement 1, standard mode",
        f"  digest  {HEX}",
        "  result  Red",
        "2  2030-03-17 17:46:40 UTC  hash to opentip",
        "  for     tenant other, guest uid-0.pid-9",
        "  by      global Statement 1, standard mode",
        "  digest  ?[2J",
        f"  result  {NO_RESULT}",
    ]


def test_the_ledger_is_one_document_for_programs(tmp_path: Path) -> None:
    """With all that stands in it."""
    here = written(tmp_path, request(), result(1, "not found"), request("other"))
    [first, second] = show(*here, "--json").json
    assert first == {
        "number": 1,
        "at": "2030-03-17T17:46:40Z",
        "tenant": "acme",
        "guest": "uid-0.pid-9",
        "type": "global",
        "mode": "standard",
        "statement": 1,
        "service": "opentip",
        "call": "hash",
        "fields": {"digest": HEX},
        "result": "not found",
    }
    assert (second["number"], second["tenant"], second["result"]) == (3, "other", None)


def test_a_part_of_the_ledger_is_chosen_by_tenant_and_time(tmp_path: Path) -> None:
    """A span counts back from now."""
    here = written(tmp_path, request(at=NOON - 7200), request(at=NOON - 60), request("other"))

    def numbers(*arguments: str) -> list[int]:
        return [entry["number"] for entry in show(*here, "--json", *arguments).json]

    assert numbers() == [1, 2, 3]
    assert numbers("--tenant", "acme") == [1, 2]
    assert numbers("--since", "1h") == [2, 3]
    assert numbers("--since", "2030-03-17T17:46:40Z", "--tenant", "acme") == []
    assert show(*here, "--tenant", "nobody").out == "nothing was sent\n"
    assert "'soon' is no time" in show(*here, "--since", "soon").err


def test_a_whole_ledger_is_said_to_be_whole(tmp_path: Path) -> None:
    """With the chain value that can be noted elsewhere."""
    here = written(tmp_path, request(), result(1))
    ran, shown = show("verify", *here), show("verify", *here, "--json").json
    assert (ran.code, ran.err) == (0, "")
    assert shown == {"entries": 2, "problem": None, "last": shown["last"]}
    assert len(bytes.fromhex(shown["last"])) == 32
    assert ran.out.splitlines() == [
        "entries  2",
        "ledger   every entry is as it was written",
        f"last     {shown['last']}",
    ]


def test_a_ledger_in_use_is_read_beside_its_owner(tmp_path: Path) -> None:
    """While the SVM holds the state open and writes it."""
    with closing(StateEnvironment.open(tmp_path)) as environment:
        ledger = LedgerStore(environment)
        ledger.append([request()])
        [shown] = svm_program("ksn", "ledger", "--dir", tmp_path, "--json").json
        assert (shown["number"], shown["fields"], shown["result"]) == (1, {"digest": HEX}, None)
        ledger.append([result(1)])
        ran = svm_program("ksn", "ledger", "verify", "--dir", tmp_path)
        assert (ran.code, ran.out.splitlines()[-1].split()) == (0, ["last", ledger.verify().last])


def test_a_changed_entry_is_found(tmp_path: Path) -> None:
    """Exit code 1, and which it is."""
    written(tmp_path, request(), request("other"), result(1))
    with lmdb.open(str(tmp_path / FILE), subdir=False, max_dbs=8) as env:
        table = env.open_db(b"ledger")
        with env.begin(write=True, db=table) as txn:
            key = (2).to_bytes(8, "big")
            txn.put(key, bytes(txn.get(key) or b"").replace(b'"other"', b'"acme0"'))
    ran = show("verify", "--dir", tmp_path)
    assert ran.code == 1
    assert "entry 2" in ran.out
    assert show("verify", "--dir", tmp_path, "--json").json["problem"]


def test_verify_takes_no_part_of_a_ledger(tmp_path: Path) -> None:
    """A chain is whole or not."""
    here = written(tmp_path, request())
    assert "verify looks at the whole ledger" in show("verify", *here, "--tenant", "acme").err


def test_a_directory_without_a_state_is_told(tmp_path: Path) -> None:
    """One line, and nothing is made there."""
    ran = show("--dir", tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert str(tmp_path) in ran.err
    assert list(tmp_path.iterdir()) == []


def test_an_entry_of_a_newer_program_is_not_left_out_in_silence(tmp_path: Path) -> None:
    """An account with holes is none."""
    here = written(tmp_path, {"kind": "gift", "at": NOON})
    ran = show(*here)
    assert ran.code == 2
    assert "entry 1 of the ledger is of the kind 'gift'" in ran.err


def test_a_result_that_never_comes_holds_up_no_others_for_long() -> None:
    """After so many later requests it is given up, and only so many are held."""
    entries = [LedgerEntry(number, NOON, request()) for number in range(1, MOST_OPEN + 3)]
    given = iter(joined(iter(entries)))
    first = next(given)
    assert (first.number, first.result) == (1, "")
    late = LedgerEntry(MOST_OPEN + 3, NOON, result(1, "late"))
    rest = list(joined([*entries, late]))
    assert [each.number for each in rest] == list(range(1, MOST_OPEN + 3))
