"""svm verdicts show|set|clear, over real gRPC."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.verdict import Verdict
from appliance.rpc.admin_views import VerdictView
from tests.support.admin_side_server import AdminSide, admin_side
from tests.support.commands import NOON, Ran, svm

HEX = "ab" * 32
DIGEST = bytes.fromhex(HEX)
OVERRIDE = Override(True, "our own\x1b[2J", "uid-0.pid-9", int(NOON), int(NOON) + 60)
FOUND = Verdict(
    Disposition.MALICIOUS,
    Source.ENGINE,
    0xAB,
    1_899_997_200,
    threat="Eicar-Test",
    engine="eicar",
    member="b/c",
)
FAR = 4_000_000_000.0  # the server's clock is the real one, so a test's "now" must lie behind it


@pytest.fixture
def side(tmp_path: Path) -> Iterator[AdminSide]:
    """An SVM that knows nothing yet."""
    with admin_side(tmp_path) as running:
        yield running


def verdicts(side: AdminSide, *arguments: object, now: float = NOON) -> Ran:
    """Run `svm verdicts` against the SVM."""
    return svm("verdicts", *arguments, "--socket", side.path, now=now)


def test_what_nobody_knows_is_said_so(side: AdminSide) -> None:
    """Exit code 1 tells a script the same."""
    ran = verdicts(side, "show", HEX)
    assert (ran.code, ran.out) == (1, f"{HEX}\n  nobody knows it\n")
    assert verdicts(side, "show", HEX, "--json").json == {
        "digest": HEX,
        "known": False,
        "verdict": None,
        "override": None,
    }


def test_a_verdict_is_shown_with_what_stands_behind_it(side: AdminSide) -> None:
    """The threat, the engine, where inside, of which generation, since when."""
    side.control.verdicts[DIGEST] = VerdictView(FOUND, 16, True, None)
    ran = verdicts(side, "show", HEX.upper())
    assert (ran.code, ran.err) == (0, "")
    for line in (
        "verdict     MALICIOUS",
        "threat      Eicar-Test",
        "inside      b/c",
        "engine      eicar",
        "source      ENGINE",
        "generation  00000000000000ab, current",
        "stored      2030-03-17 17:00:00 UTC, to the hour",
        "scope       16",
    ):
        assert f"  {line}\n" in ran.out
    assert "expires" not in ran.out


def test_a_verdict_of_other_signatures_is_marked(side: AdminSide) -> None:
    """Whoever reads an old verdict is told that it does not count any more."""
    side.control.verdicts[DIGEST] = VerdictView(FOUND, 0, False, None)
    assert "of other signatures than those in use" in verdicts(side, "show", HEX).out
    assert verdicts(side, "show", HEX, "--json").json["verdict"]["current"] is False


def test_an_override_stands_before_the_verdict(side: AdminSide) -> None:
    """Who set it, why and until when; an administrator's text cannot steer the terminal either."""
    side.control.verdicts[DIGEST] = VerdictView(FOUND, 0, True, OVERRIDE)
    ran = verdicts(side, "show", HEX)
    assert ran.out.splitlines()[1] == (
        "  override: allowed until 2030-03-17 17:47:40 UTC by uid-0.pid-9 "
        "on 2030-03-17 17:46:40 UTC: our own?[2J"
    )
    assert verdicts(side, "show", HEX, "--json").json["override"] == {
        "action": "allow",
        "reason": OVERRIDE.reason,
        "author": "uid-0.pid-9",
        "set": "2030-03-17T17:46:40Z",
        "expires": "2030-03-17T17:47:40Z",
        "tenant": None,
    }


def test_set_allows_or_blocks_in_the_name_of_the_caller(side: AdminSide) -> None:
    """The author is this process as the kernel names it; the expiry counts from now."""
    ran = verdicts(side, "set", HEX, "--allow", "--reason", "ticket 4711", "--expires", "30d", now=FAR)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{HEX} is allowed until 2096-11-01 07:06:40 UTC by uid-{os.getuid()}.")
    override = side.control.overrides[DIGEST]
    assert (override.allow, override.reason, override.expires_at) == (
        True,
        "ticket 4711",
        int(FAR) + 2_592_000,
    )
    assert override.author.startswith(f"uid-{os.getuid()}.pid-{os.getpid()}")
    shown = verdicts(side, "set", HEX, "--block", "--reason", "bad", "--json").json
    assert (shown["digest"], shown["override"]["action"], shown["override"]["expires"]) == (
        HEX,
        "block",
        None,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "abc"), "'abc' is not a SHA-256: give 64 hexadecimal digits"),
        (("show", HEX + "0"), "is not a SHA-256"),
        (("clear", "z" * 64), "is not a SHA-256"),
        (("set", HEX[:-2], "--allow", "--reason", "x"), "is not a SHA-256"),
        (("set", HEX, "--allow", "--reason", "x", "--expires", "2020-01-01"), "does not lie in the future"),
        (("set", HEX, "--allow", "--reason", "x", "--expires", "soon"), "is no time"),
        (("set", HEX, "--allow", "--reason", "  "), "reason has 0 bytes: give 1 to 512"),
        (("set", HEX, "--block", "--reason", "x" * 513), "reason has 513 bytes: give 1 to 512"),
        (("clear", HEX, "--reason", "x" * 513), "reason has 513 bytes: give 0 to 512"),
    ],
)
def test_what_cannot_be_done_is_one_line(side: AdminSide, arguments: tuple[str, ...], said: str) -> None:
    """A digest of a wrong length, a time in the past, a reason that is none: exit code 2, nothing changed."""
    ran = verdicts(side, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert side.control.overrides == {}
    assert side.control.cleared == []


def test_a_reason_that_is_not_utf8_is_told(side: AdminSide) -> None:
    """Bytes of another encoding on the command line end in a sentence."""
    ran = verdicts(side, "set", HEX, "--allow", "--reason", "caf\udce9")
    assert (ran.code, ran.out) == (2, "")
    assert "UTF-8" in ran.err


def test_clear_says_whether_there_was_anything(side: AdminSide) -> None:
    """The reason and the caller go into the audit."""
    side.control.overrides[DIGEST] = OVERRIDE
    ran = verdicts(side, "clear", HEX, "--reason", "fixed")
    assert (ran.code, ran.out) == (0, f"{HEX}: cleared\n")
    [(digest, reason, actor)] = side.control.cleared
    assert (digest, reason) == (DIGEST, "fixed")
    assert actor.startswith(f"uid-{os.getuid()}.pid-{os.getpid()}")
    again = verdicts(side, "clear", HEX)
    assert (again.code, again.out) == (1, f"{HEX}: there was nothing to clear\n")
    assert verdicts(side, "clear", HEX, "--json").json == {"digest": HEX, "cleared": False}


def test_a_refusal_of_the_svm_is_passed_on(side: AdminSide) -> None:
    """Its sentence is shown as it is."""
    side.control.refusal = "the disk is full: make room in /var/lib/kvm-light-agent"
    ran = verdicts(side, "set", HEX, "--allow", "--reason", "x")
    assert (ran.code, ran.err) == (2, f"svm: {side.control.refusal}\n")
