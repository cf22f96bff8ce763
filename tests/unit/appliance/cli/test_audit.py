"""svm audit, over real gRPC."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.state.audit import AuditEntry
from tests.support.admin_side_server import AdminSide, admin_side
from tests.support.commands import NOON, Ran, svm

DIGEST = bytes(range(32))
ENTRIES = [
    AuditEntry(
        int(NOON),
        "uid-0.pid-9",
        "allow",
        DIGEST,
        "ticket\n4711",
        int(NOON) + 60,
        before="blocked by paula: seen in May",
        after="allowed until 2030-03-17 17:47:40 UTC by uid-0.pid-9: ticket\n4711",
    ),
    AuditEntry(
        int(NOON) - 60, "anna", "guest revoked", reason="lost", tenant="acme", subject="guest 6ba7b810"
    ),
]


@pytest.fixture
def side(tmp_path: Path) -> Iterator[AdminSide]:
    """The other end."""
    with admin_side(tmp_path) as side:
        side.control.entries = list(ENTRIES)
        yield side


def audit(side: AdminSide, *arguments: str) -> Ran:
    """The command."""
    return svm("audit", *arguments, "--socket", side.path)


def test_the_audit_shows_who_did_what_how_it_was_and_is_and_why(side: AdminSide) -> None:
    """The newest first; nothing in it steers a terminal."""
    assert audit(side).out.splitlines() == [
        f"2030-03-17 17:46:40 UTC  uid-0.pid-9  allow  {DIGEST.hex()}",
        "    before: blocked by paula: seen in May",
        "    after:  allowed until 2030-03-17 17:47:40 UTC by uid-0.pid-9: ticket?4711",
        "2030-03-17 17:45:40 UTC  anna [acme]  guest revoked  guest 6ba7b810",
        "    why:    lost",
    ]


def test_programs_get_all_of_it(side: AdminSide) -> None:
    """At most as many as asked for."""
    [entry] = audit(side, "--limit", "1", "--json").json
    assert (entry["author"], entry["action"], entry["digest"]) == ("uid-0.pid-9", "allow", DIGEST.hex())
    assert (entry["before"], entry["expires"]) == ("blocked by paula: seen in May", "2030-03-17T17:47:40Z")
    assert audit(side, "--json").json[1]["tenant"] == "acme"


def test_an_empty_audit_is_said_so(side: AdminSide) -> None:
    """Nothing to show is no error."""
    side.control.entries = []
    assert (audit(side).code, audit(side).out) == (0, "nothing was changed yet\n")
    assert audit(side, "--json").json == []


@pytest.mark.parametrize("limit", ["1001", "0", "-1"])
def test_so_many_and_no_more(side: AdminSide, limit: str) -> None:
    """The sentence says how many."""
    ran = audit(side, "--limit", limit)
    assert (ran.code, ran.err) == (2, f"svm: --limit is {limit}: give 1 to 1000\n")
