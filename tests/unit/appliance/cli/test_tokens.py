"""svm guests tokens|withdraw, over real gRPC."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Ran, svm
from tests.support.identities import OF_ACME, PROVIDER, UUID, asked
from tests.support.identity_side_server import IdentitySide, identity_side


@pytest.fixture
def side(tmp_path: Path) -> Iterator[IdentitySide]:
    """An SVM with a register."""
    with identity_side(tmp_path) as running:
        yield running


def guests(side: IdentitySide, *arguments: object) -> Ran:
    """Run `svm guests` against the SVM."""
    return svm("guests", *arguments, "--socket", side.path)


def test_tokens_are_listed_for_people_and_for_programs(side: IdentitySide) -> None:
    """By the first digits of their SHA-256; what one is stands nowhere."""
    assert guests(side, "tokens").out == "there is no token: make one with `svm guests token`\n"
    assert guests(side, "tokens").code == 1
    made = side.office.issuer.token("acme", "", 3600, OF_ACME)
    bound = side.office.issuer.token("default", UUID, 7200, PROVIDER)
    side.office.issuer.enrol(bound.text, asked())
    ran = guests(side, "tokens")
    assert (ran.code, ran.err) == (0, "")
    head, first, second = ran.out.splitlines()
    assert head.split() == ["id", "used", "tenant", "guest", "made", "by", "made", "good", "until"]
    times = "2030-03-17 17:46:40 UTC  2030-03-17 18:46:40 UTC"
    own, theirs = (each.token.digest.hex() for each in (made, bound))
    assert first.split(maxsplit=4) == [own[:12], "no", "acme", "-", f"tenant-admin anna of acme  {times}"]
    assert second.split(maxsplit=4)[:4] == [theirs[:12], "yes", "default", UUID]
    listed = guests(side, "tokens", "--json", "--tenant", "acme")
    assert listed.json == [
        {
            "id": own[:12],
            "sha256": own,
            "used": False,
            "tenant": "acme",
            "guest": None,
            "author": "tenant-admin anna of acme",
            "created": "2030-03-17T17:46:40Z",
            "expires": "2030-03-17T18:46:40Z",
        }
    ]
    assert made.text not in ran.out + listed.out
    assert len(guests(side, "tokens", "--limit", "1", "--json").json) == 1


def test_a_token_is_taken_back_by_its_digits_or_by_itself(side: IdentitySide) -> None:
    """Whoever has it in his hands needs no list; what is sent is its SHA-256."""
    made, other = (side.office.issuer.token(tenant, "", 3600, PROVIDER) for tenant in ("acme", "umbrella"))
    ran = guests(side, "withdraw", made.token.id, "--reason", "wrong list")
    assert ran.out == f"{made.token.id} is withdrawn: it was for a new guest of tenant acme\n"
    ran = guests(side, "withdraw", other.text)
    assert (ran.code, f"{other.token.id} is withdrawn" in ran.out) == (0, True)
    assert guests(side, "tokens").code == 1


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("3fa94c01bd27", "no token 3fa94c01bd27 is known: see `svm guests tokens`"),
        ("3fa94c", "'3fa94c' is no beginning of a SHA-256: give 8, 10, 12 or more of its digits"),
        ("3fa94c01b", "'3fa94c01b' is no beginning of a SHA-256: give 8, 10, 12 or more of its digits"),
        ("kvmla1_nobodys", "no token "),
    ],
)
def test_what_is_no_token_is_not_taken_back(side: IdentitySide, named: str, why: str) -> None:
    """One line says why; a token that nobody knows is not repeated in it."""
    ran = guests(side, "withdraw", named)
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err
    assert "kvmla1_" not in ran.err
