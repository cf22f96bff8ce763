"""svm init."""

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from appliance.identity.authority import Authority, Life
from appliance.identity.files import load
from appliance.identity.keys import key_pem
from tests.support.commands import NOON, Ran, svm
from tests.support.full_disk import full_disk
from tests.support.identities import DAY


def init(directory: Path, *arguments: object) -> Ran:
    """Run `svm init` for a state directory."""
    return svm("init", *arguments, environ={"KVMLA_STATE_DIR": str(directory)})


def test_it_says_what_it_made_and_what_to_do_next(tmp_path: Path) -> None:
    """With the SHA-256 by which guests know the SVM; run again, it changes nothing."""
    state = tmp_path / "state"
    ran = init(
        state,
        "--name",
        "one",
        "--address",
        "10.0.0.1",
        "--address",
        "svm.example",
        "--administrator",
        "paula",
    )
    assert (ran.code, ran.err) == (0, "")
    identity = load(state)
    assert identity is not None
    fingerprint = hashlib.sha256(identity.authority.chain[0]).hexdigest()
    assert f"authority SHA-256       {fingerprint}\n" in ran.out
    assert "SVM known as            svm.kvm-light-agent, 10.0.0.1, svm.example\n" in ran.out
    assert "2032-06-19" in ran.out  # 825 days
    assert 'server.listen = "tcp:10.0.0.1:7443"' in ran.out
    before = {path: path.read_bytes() for path in (state / "identity").iterdir()}
    again = init(state)
    assert (again.code, "nothing was changed" in again.out, fingerprint in again.out) == (0, True, True)
    assert {path: path.read_bytes() for path in (state / "identity").iterdir()} == before


def test_an_address_that_the_certificate_lacks_is_not_passed_over(tmp_path: Path) -> None:
    """It is said how it is added; one that is there, however it is written, is fine."""
    init(tmp_path, "--name", "one", "--address", "fd00::1", "--address", "svm.example")
    assert init(tmp_path, "--address", "FD00:0::1", "--address", "SVM.example").code == 0
    ran = init(tmp_path, "--address", "10.0.0.1", "--address", "fd00::1")
    assert (ran.code, ran.out) == (2, "")
    assert "`svm init --renew-server --address 10.0.0.1`" in ran.err


def test_the_servers_certificate_is_renewed(tmp_path: Path) -> None:
    """And the SVM is to be started anew."""
    assert init(tmp_path, "--renew-server").code == 2
    init(tmp_path, "--name", "one", "--address", "fd00::1")
    ran = init(tmp_path, "--name", "one", "--renew-server", "--address", "new.example")
    assert (ran.code, "start the SVM anew" in ran.out) == (0, True)
    assert "fd00::1, new.example" in ran.out


def test_without_room_it_names_the_file_and_a_way_out(tmp_path: Path) -> None:
    """For a first identity, of which nothing is left, and for a renewal, which changes nothing."""
    init(tmp_path / "there", "--name", "one")
    before = (tmp_path / "there" / "identity" / "server.pem").read_bytes()
    with full_disk(100):
        ran = [
            init(tmp_path / "new", "--name", "one"),
            init(tmp_path / "there", "--name", "one", "--renew-server"),
        ]
    assert [(each.code, "free room on its disk" in each.err) for each in ran] == [(2, True)] * 2
    assert f"{tmp_path / 'there' / 'identity' / 'server.pem'} cannot be written" in ran[1].err
    assert list((tmp_path / "new").iterdir()) == []
    assert (tmp_path / "there" / "identity" / "server.pem").read_bytes() == before


def test_a_companys_authority_is_taken(tmp_path: Path) -> None:
    """Its key and its certificate; not one without the other."""
    given, key = Authority.make("company", Life(int(NOON - DAY), int(NOON + 99 * DAY)))
    (tmp_path / "c.pem").write_bytes(given.pem)
    (tmp_path / "k.pem").write_bytes(key_pem(key))
    (tmp_path / "k.pem").chmod(0o600)
    alone = init(tmp_path / "s", "--ca-certificate", tmp_path / "c.pem")
    assert (alone.code, "go together" in alone.err) == (2, True)
    both = ("--ca-certificate", tmp_path / "c.pem", "--ca-key", tmp_path / "k.pem")
    assert init(tmp_path / "s", "--name", "one", *both).code == 0
    identity = load(tmp_path / "s")
    assert identity is not None
    assert identity.authority.chain[0] == Authority.load(given.pem, key_pem(key)).chain[0]
    assert identity.server_ends_at == NOON + 99 * DAY
    again = init(tmp_path / "s", "--name", "one", *both)
    assert (again.code, "has an authority already" in again.err) == (2, True)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    (tmp_path / "k.pem").write_bytes(locked)
    ran = init(tmp_path / "t", "--name", "one", *both)
    assert (ran.code, "not encrypted" in ran.err) == (2, True)
    assert not (tmp_path / "t" / "identity").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--name", "a b"), "no name that can be given"),
        (("--administrator", "uid-0"), "no name that can be given"),
        (("--address", "10.0.0.1:7443"), "no port"),
        (("--address", "x." + "a" * 10_000), "no port"),
        (("--address", "a" * 63 + "!"), "no port"),
        (("--address", "1.2.3.4") * 65, "at most 64"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...], why: str
) -> None:
    """With a sentence."""
    ran = init(tmp_path, *(() if "--name" in arguments else ("--name", "one")), *arguments)
    assert (ran.code, why in ran.err) == (2, True)
    assert list(tmp_path.iterdir()) == []
