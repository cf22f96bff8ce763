"""Where the SVM's identity lies, and how it begins."""

import fcntl
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance.domain.caller import Caller, Role
from appliance.identity.authority import Authority, Life, ends_of
from appliance.identity.files import (
    IdentityUnusable,
    Wanted,
    first_administrator,
    load,
    make,
    renew_server,
)
from appliance.identity.keys import key_pem, new_key
from appliance.identity.names import named_by
from tests.support.identities import DAY, NOW, an_authority
from tests.support.owners import SOMEBODY, as_it_is, only_root, owners, somebodys_place

WANTED = Wanted("one", ["10.0.0.1"], days=(800, 300))
ALL = ["administrator.key", "administrator.pem", "ca.key", "ca.pem", "server.key", "server.pem"]


def contents(directory: Path) -> dict[str, bytes]:
    """Every file of the identity."""
    return {path.name: path.read_bytes() for path in (directory / "identity").iterdir()}


def test_an_identity_is_made_whole_and_for_nobodys_eyes(tmp_path: Path) -> None:
    """The SVM's certificate shows the authority behind it, so that who knows that by its SHA-256 finds it."""
    assert load(tmp_path) is None
    assert make(tmp_path, WANTED, NOW) == ALL
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "identity").iterdir()} == {0o600}
    identity = load(tmp_path)
    assert identity is not None
    assert identity.addresses == ["10.0.0.1"]
    assert identity.server_ends_at == NOW + 800 * DAY
    shown = x509.load_pem_x509_certificates(identity.server)
    shown[0].verify_directly_issued_by(shown[1])
    assert shown[1].public_bytes(serialization.Encoding.DER) == identity.authority.chain[0]
    first = first_administrator(tmp_path, identity.authority)
    assert first is not None
    assert named_by(first.holder) == Caller("administrator", Role.PROVIDER)
    assert (first.issued_at, first.ends_at) == (NOW, NOW + 300 * DAY)


def test_an_empty_directory_is_no_identity(tmp_path: Path) -> None:
    """A restore of a backup without one leaves that; svm init fills it."""
    (tmp_path / "identity").mkdir(mode=0o700)
    assert load(tmp_path) is None
    assert make(tmp_path, WANTED, NOW) == ALL
    assert load(tmp_path) is not None


def test_made_again_it_is_the_same(tmp_path: Path) -> None:
    """Nothing is written over; only what is missing is made, an administrator by his name alone."""
    make(tmp_path, WANTED, NOW)
    before = contents(tmp_path)
    assert make(tmp_path, replace(WANTED, name="two", administrator="otto"), NOW) == []
    assert contents(tmp_path) == before
    for name in ("server.pem", "administrator.pem", "administrator.key"):
        (tmp_path / "identity" / name).unlink()
    assert make(tmp_path, WANTED, NOW) == ["server.pem"]
    assert make(tmp_path, replace(WANTED, administrator="otto"), NOW) == [
        "administrator.key",
        "administrator.pem",
    ]
    identity = load(tmp_path)
    assert identity is not None
    assert identity.authority.pem == before["ca.pem"]
    first = first_administrator(tmp_path, identity.authority)
    assert first is not None
    assert first.holder.endswith("/otto")


def test_a_given_authority_is_kept_and_never_replaced(tmp_path: Path) -> None:
    """With those above it, apart."""
    key = new_key()
    given, secret = Authority.make("given", Life(int(NOW - DAY), int(NOW + 900 * DAY)))
    assert make(tmp_path, replace(WANTED, authority=(given, key_pem(secret))), NOW) == ALL
    identity = load(tmp_path)
    assert identity is not None
    assert identity.authority.sha256 == given.sha256
    with pytest.raises(IdentityUnusable, match="has an authority already"):
        make(tmp_path, replace(WANTED, authority=(an_authority(), key_pem(key))), NOW)


def test_the_servers_certificate_is_renewed_in_place(tmp_path: Path) -> None:
    """For the same key, so that one file is replaced in one step; with its addresses and others."""
    with pytest.raises(IdentityUnusable, match="svm init"):
        renew_server(tmp_path, WANTED, NOW)
    make(tmp_path, WANTED, NOW)
    before = contents(tmp_path)
    renew_server(tmp_path, replace(WANTED, addresses=["h.example", "10.0.0.1"]), NOW + 700 * DAY)
    after = contents(tmp_path)
    assert [name for name in ALL if before[name] != after[name]] == ["server.pem"]
    assert ends_of(after["server.pem"]) == NOW + 1500 * DAY
    identity = load(tmp_path)
    assert identity is not None
    assert identity.addresses == ["10.0.0.1", "h.example"]


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("ca.key", None, "cannot be read"),
        ("server.key", None, "cannot be read"),
        ("ca.key", b"x", "cannot be used"),
        ("ca.pem", b"x", "no PEM"),
        ("server.pem", b"x", "identity: "),
        ("server.key", key_pem(new_key()), "not the key of server.pem"),
        ("ca.key", key_pem(new_key()), "not that of its certificate"),
        ("ca.pem", b"x" * 300_000, "more than"),
    ],
)
def test_an_identity_that_is_not_whole_is_refused(
    tmp_path: Path, name: str, change: bytes | None, why: str
) -> None:
    """With what is wrong with which file."""
    make(tmp_path, WANTED, NOW)
    path = tmp_path / "identity" / name
    path.unlink() if change is None else path.write_bytes(change)
    with pytest.raises(IdentityUnusable, match=why):
        load(tmp_path)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """And the sentence says what to do."""
    make(tmp_path, WANTED, NOW)
    (tmp_path / "identity" / "ca.key").chmod(0o640)
    with pytest.raises(IdentityUnusable, match="chmod 600"):
        load(tmp_path)


def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path) -> None:
    """Whoever makes one in the SVM's directory stops neither its start nor `svm doctor`."""
    make(tmp_path, WANTED, NOW)
    (tmp_path / "identity" / "server.pem").unlink()
    os.mkfifo(tmp_path / "identity" / "server.pem", 0o600)
    with pytest.raises(IdentityUnusable, match="is no file"):
        load(tmp_path)


def test_another_authoritys_administrator_is_not_adopted(tmp_path: Path) -> None:
    """Nor what is no certificate."""
    make(tmp_path, WANTED, NOW)
    with pytest.raises(IdentityUnusable, match="no certificate of this SVM's authority"):
        first_administrator(tmp_path, an_authority())
    (tmp_path / "identity" / "administrator.pem").write_bytes(b"x")
    with pytest.raises(IdentityUnusable, match="no certificate of this SVM's authority"):
        first_administrator(tmp_path, an_authority())
    (tmp_path / "identity" / "administrator.pem").unlink()
    assert first_administrator(tmp_path, an_authority()) is None


def test_two_do_not_make_one_at_once(tmp_path: Path) -> None:
    """The second is told to wait."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(IdentityUnusable, match="another svm init"):
            make(tmp_path, WANTED, NOW)
    finally:
        os.close(fd)


KILLED = """
import os, signal, sys
from pathlib import Path
from appliance.identity import files
count = 0
put = files._put
def _put(path, content):
    global count
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    put(path, content)
files._put = _put
files.make(Path(sys.argv[1]), files.Wanted("one", []), 1_900_000_000)
"""


@pytest.mark.parametrize("step", range(6))
def test_who_is_killed_amid_it_leaves_nothing_that_counts(tmp_path: Path, step: int) -> None:
    """The next makes all of it, and takes away the keys that were left."""
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, str(step)], env=environ, check=False, timeout=60
    )
    assert ran.returncode == -9
    assert load(tmp_path) is None
    assert make(tmp_path, WANTED, NOW) == ALL
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]


@only_root
def test_what_root_makes_belongs_to_whom_the_state_belongs() -> None:
    """The SVM may run as another user."""
    with somebodys_place() as place:
        make(place / "state", WANTED, NOW)
        assert owners(place) == {(SOMEBODY, SOMEBODY)}


@only_root
def test_a_link_that_the_svms_user_puts_in_the_way_leads_root_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it names keeps its owner, its mode and its content."""
    victim = tmp_path / "victim"
    victim.write_text("root's")
    before = as_it_is(victim)

    def swapped(**options: Any) -> Any:
        file = begun(**options)
        os.unlink(file.name)
        os.symlink(victim, file.name)
        return file

    begun = tempfile.NamedTemporaryFile
    with somebodys_place() as place:
        make(place, WANTED, NOW)
        monkeypatch.setattr(tempfile, "NamedTemporaryFile", swapped)
        with suppress(OSError):
            renew_server(place, WANTED, NOW)
        assert (place / "identity" / "server.pem").is_symlink()
        assert as_it_is(victim) == before
