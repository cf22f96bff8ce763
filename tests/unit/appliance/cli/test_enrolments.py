"""svm guests token|show|revoke|remove, over real gRPC."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.identity.tokens import digest_of
from tests.support.commands import Ran, svm
from tests.support.identities import UUID, asked
from tests.support.identity_side_server import IdentitySide, identity_side


@pytest.fixture
def side(tmp_path: Path) -> Iterator[IdentitySide]:
    """An SVM with a register."""
    with identity_side(tmp_path) as running:
        yield running


def guests(side: IdentitySide, *arguments: object) -> Ran:
    """Run `svm guests` against the SVM."""
    return svm("guests", *arguments, "--socket", side.path)


def test_a_token_is_printed_with_the_command_for_the_guest(side: IdentitySide) -> None:
    """Once; with it a guest enrols."""
    ran = guests(side, "token", "--tenant", "acme", "--ttl", "1d")
    assert (ran.code, ran.err) == (0, "")
    token = ran.out.split()[1]
    fingerprint = side.office.authority.sha256.hex()
    assert ran.out.splitlines() == [
        f"token       {token}",
        f"known as    {digest_of(token).hex()[:12]}",
        "tenant      acme, which is new",
        "guest       drawn when it enrols",
        "good until  2030-03-18 17:46:40 UTC",
        "",
        "in the guest:",
        f"  guest-stub enrol --svm 192.0.2.1:7443 --token {token} --ca-fingerprint {fingerprint}",
    ]
    assert side.office.issuer.enrol(token, asked()).guest.tenant == "acme"
    said = guests(side, "token", "--uuid", UUID, "--json").json
    assert (said["guest"], said["tenant"], said["expires"]) == (UUID, "default", "2030-03-17T18:46:40Z")
    assert said["token"] in said["command"]
    assert said["sha256"] == digest_of(said["token"]).hex()


@pytest.mark.parametrize(
    ("doors", "where", "why"),
    [
        (("", "10.0.0.1:7000"), "10.0.0.1:7000", "server.enrolment is not set"),
        (("10.0.0.1:7444", ""), "SVM-ADDRESS:7443", "server.listen is not on TCP"),
        ((":7001", ":7000"), "SVM-ADDRESS:7000 --enrolment-port 7001", "no --address"),
        (("[::1]:7001", "[::1]:7000"), "'[::1]:7000' --enrolment-port 7001", ""),
    ],
)
def test_the_doors_are_named_and_one_that_is_not_known_is_said(
    tmp_path: Path, doors: tuple[str, str], where: str, why: str
) -> None:
    """The token is made all the same."""
    with identity_side(tmp_path, doors) as side:
        ran = guests(side, "token")
    assert ran.code == 0
    assert f"--svm {where} " in ran.out
    assert why in ran.err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--ttl", "8d"), "ttl is 691200 s"),
        (("--ttl", "soon"), "is no time"),
        (("--uuid", "7"), "is no UUID"),
        (("--tenant", "a/b"), "tenant is 'a/b': give 1 to 64 letters"),
    ],
)
def test_a_token_that_cannot_be_is_refused_with_a_sentence(
    side: IdentitySide, options: tuple[str, str], why: str
) -> None:
    """On one line."""
    ran = guests(side, "token", *options)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err


def test_a_guest_is_shown_revoked_and_removed(side: IdentitySide) -> None:
    """Each step with what became of it."""
    guest = side.office.enrolled("acme").guest
    shown = guests(side, "show", guest.uuid)
    assert [line.split(maxsplit=1)[1] for line in shown.out.splitlines()[:2]] == [guest.uuid, "acme"]
    assert f"{guest.current.hex()[:16]}  good" in shown.out
    said = guests(side, "show", guest.uuid, "--json").json
    assert (said["state"], said["host_name"], said["attached"]) == ("good", "vm", False)
    assert said["certificates"][0]["sha256"] == guest.current.hex()
    ran = guests(side, "revoke", guest.uuid, "--reason", "stolen\x1b")
    assert ran.out == f"{guest.uuid} is revoked: 1 certificate of it counted until now\n"
    assert "stolen?" in guests(side, "show", guest.uuid).out
    assert guests(side, "remove", guest.uuid).out == f"{guest.uuid} is removed\n"
    for verb in ("show", "revoke", "remove"):
        ran = guests(side, verb, guest.uuid)
        assert (ran.code, f"no guest {guest.uuid} is enrolled" in ran.err) == (2, True)
