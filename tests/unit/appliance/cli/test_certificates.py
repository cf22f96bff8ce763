"""svm certificates issue|list|revoke, over real gRPC."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.domain.caller import Caller, NotAdmitted, Role
from tests.support.commands import Ran, svm
from tests.support.full_disk import full_disk
from tests.support.identity_side_server import IdentitySide, identity_side


@pytest.fixture
def side(tmp_path: Path) -> Iterator[IdentitySide]:
    """An SVM with a register."""
    with identity_side(tmp_path) as running:
        yield running


def certificates(side: IdentitySide, *arguments: object) -> Ran:
    """Run `svm certificates` against the SVM."""
    return svm("certificates", *arguments, "--socket", side.path)


def test_a_key_is_made_here_and_a_certificate_of_it_there(side: IdentitySide, tmp_path: Path) -> None:
    """In a directory of the caller's alone, as --identity wants it."""
    out = tmp_path / "anna"
    who = ("--role", "tenant-admin", "--tenant", "acme", "--name", "anna")
    ran = certificates(side, "issue", *who, "--out", out)
    assert (ran.code, ran.out) == (0, f"{out}: tenant-admin of acme anna, until 2031-03-17 17:46:40 UTC\n")
    assert sorted(path.name for path in out.iterdir()) == ["administrator.key", "administrator.pem", "ca.pem"]
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}
    assert out.stat().st_mode & 0o777 == 0o700
    pem = (out / "administrator.pem").read_bytes()
    key = serialization.load_pem_private_key((out / "administrator.key").read_bytes(), None)
    assert x509.load_pem_x509_certificate(pem).public_key() == key.public_key()
    assert (out / "ca.pem").read_bytes() == side.office.authority.pem
    assert side.office.registry.caller(pem) == Caller("anna", Role.TENANT_ADMIN, "acme")


def test_nothing_is_written_over_and_nothing_left_where_it_fails(side: IdentitySide, tmp_path: Path) -> None:
    """A directory with something in it is not touched; a refusal leaves no key behind."""
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    (full / "administrator.key").write_text("mine")
    ran = certificates(side, "issue", "--role", "provider", "--name", "paula", "--out", full)
    assert (ran.code, "not empty" in ran.err) == (2, True)
    assert (full / "administrator.key").read_text() == "mine"
    empty.mkdir(mode=0o755)
    ran = certificates(side, "issue", "--role", "tenant-admin", "--name", "anna", "--out", empty)
    assert (ran.code, "of one tenant" in ran.err) == (2, True)
    assert os.listdir(empty) == []
    assert certificates(side, "issue", "--role", "provider", "--name", "paula", "--out", empty).code == 0
    assert empty.stat().st_mode & 0o777 == 0o700


def test_without_room_no_half_of_an_identity_is_left(side: IdentitySide, tmp_path: Path) -> None:
    """It says which file, what to do, and what was issued that nobody has the key of."""
    out, changes = tmp_path / "out", side.office.registry.on_changed
    request = ("issue", "--role", "provider", "--name", "paula", "--out", out)
    with full_disk(0):
        ran = certificates(side, *request)
    room = "cannot be written (File too large): free room on its disk, or give another --out"
    assert (ran.code, ran.err, os.listdir(out)) == (2, f"svm: {out / 'administrator.key'} {room}\n", [])
    assert certificates(side, "list", "--json").json == []
    with ExitStack() as stack:
        changes.append(lambda _: stack.enter_context(full_disk(300)))  # once the SVM has kept it
        ran = certificates(side, *request)
        changes.clear()
    (issued,) = certificates(side, "list", "--json").json
    nobodys = (
        f"the certificate that was issued is nobody's now: `svm certificates revoke {issued['sha256'][:16]}`"
    )
    assert (ran.code, ran.err) == (2, f"svm: {out / 'ca.pem'} {room}; {nobodys}\n")
    assert os.listdir(out) == []
    assert certificates(side, *request).code == 0


def test_certificates_are_listed_and_revoked(side: IdentitySide, tmp_path: Path) -> None:
    """By the first digits; guests' only where they are asked for."""
    assert certificates(side, "list").code == 1
    assert certificates(side, "list", "--json").json == []
    certificates(side, "issue", "--role", "host-agent", "--name", "h1", "--out", tmp_path / "h1")
    guest = side.office.enrolled()
    (said,) = certificates(side, "list", "--json").json
    assert (said["role"], said["name"], said["tenant"], said["state"]) == ("host-agent", "h1", None, "good")
    assert guest.guest.uuid in certificates(side, "list", "--guests").out
    assert certificates(side, "list").out.splitlines()[1].split()[:3] == [
        said["sha256"][:16],
        "host-agent",
        "h1",
    ]
    side.office.issuer.token("default", "", 3600, Caller("h1", Role.HOST_AGENT))
    ran = certificates(side, "revoke", said["sha256"][:8], "--reason", "sold")
    assert ran.out.splitlines() == [
        f"{said['sha256'][:16]} is revoked: it was of the host-agent h1",
        "1 unused token of that author went with it",
    ]
    with pytest.raises(NotAdmitted):
        side.office.registry.caller((tmp_path / "h1" / "administrator.pem").read_bytes())
    (said,) = certificates(side, "list", "--json").json
    assert (said["state"], said["reason"]) == ("revoked", "sold")


@pytest.mark.parametrize(
    ("digits", "why"),
    [
        *((digits, "8, 10, 12 or more of its digits") for digits in ("x" * 8, "abcd", "6b5aa2e4e", "a" * 66)),
        ("6b5aa2e4", "6b5aa2e4"),
    ],
)
def test_a_certificate_that_is_not_named_is_not_revoked(side: IdentitySide, digits: str, why: str) -> None:
    """With what to give."""
    ran = certificates(side, "revoke", digits)
    assert (ran.code, why in ran.err) == (2, True)
    assert ("is no beginning of a SHA-256" in ran.err) == (digits != "6b5aa2e4")
