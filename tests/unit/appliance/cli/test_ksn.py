"""svm ksn status|check|lookup, over real gRPC."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.domain.participation import KsnState, Participation, Reason
from appliance.domain.policy import KsnType, Mode
from appliance.ksn.reaching import Step
from appliance.ksn.reputation import Answer
from appliance.ksn.zones import Zone
from appliance.rpc.ksn_views import KsnStatusView, LookUpView
from tests.support.commands import Ran, svm
from tests.support.ksn_side_server import ON, KsnSide, ksn_side

DIGEST = b"\xab" * 32
RESTRICTED = Participation(
    KsnState.RESTRICTED,
    KsnType.PRIVATE,
    Mode.STANDARD,
    ((Reason.QUOTA_SPENT, "the quota is spent"), (Reason.MODE_LIMITED, "a narrower mode")),
    1,
    2,
)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[KsnSide]:
    """An SVM whose provider has enabled KSN."""
    with ksn_side(tmp_path) as running:
        yield running


def ksn(side: KsnSide, *arguments: object) -> Ran:
    """Run `svm ksn` against the SVM."""
    return svm("ksn", *arguments, "--socket", side.path)


def test_a_status_says_why_ksn_is_off(side: KsnSide) -> None:
    """With exit code 1, for the usual tenant or the one that is named."""
    ran = ksn(side, "status")
    assert ran.code == 1
    assert "KSN        off\nbecause    the tenant has no policy\n" in ran.out
    ksn(side, "status", "--tenant", "acme")
    assert side.ksn.asked == [("status", "default"), ("status", "acme")]


def test_a_status_has_every_restriction_and_what_the_provider_has_set(side: KsnSide) -> None:
    """In the words of people; restricted is in use."""
    side.ksn.status = KsnStatusView(
        RESTRICTED, True, KsnType.PRIVATE, Mode.EXTENDED, "own", True, ("mode",), "half open", 0, True
    )
    ran = ksn(side, "status")
    assert ran.code == 0
    for line in (
        "KSN        enabled with restrictions",
        "because    the quota is spent",
        "because    a narrower mode",
        "type       private",
        "mode       standard",
        "Statement  version 1 accepted; version 2 is in force",
        "provider    has enabled KSN",
        "mode limit  extended",
        "answers     shared by those who take part",
        "documents   allowed, of tenants that allow it too",
        "locked      mode",
        "breaker     half open",
        "quota       0 questions left today",
    ):
        assert f"{line}\n" in ran.out


def test_a_status_for_programs_tells_no_limit_from_nothing_left(side: KsnSide) -> None:
    """And names each reason as verdict.proto does."""
    side.ksn.status = replace(side.ksn.status, participation=RESTRICTED, quota_left=0)
    status = ksn(side, "status", "--json").json
    assert status["quota_left"] == 0
    assert status["participation"]["state"] == "restricted"
    assert status["participation"]["reasons"][0] == {
        "reason": "quota_spent",
        "sentence": "the quota is spent",
    }
    side.ksn.status = replace(side.ksn.status, participation=ON, quota_left=None)
    status = ksn(side, "status", "--json").json
    assert (status["quota_left"], status["documents_allowed"]) == (None, False)
    assert "quota       no limit" in ksn(side, "status").out


def test_a_status_says_what_the_service_takes_and_what_is_not_sent(side: KsnSide) -> None:
    """A line for each thing that would be, and why it is not; for programs as well."""
    side.ksn.status = replace(
        side.ksn.status,
        takes=("hash", "url"),
        notices=(("statistics", "the service takes none"), ("changes", "they are not followed: it is dead")),
    )
    out = ksn(side, "status").out
    assert "takes       hash, url\n" in out
    assert "not sent    statistics: the service takes none\n" in out
    assert "not sent    changes: they are not followed: it is dead\n" in out
    status = ksn(side, "status", "--json").json
    assert status["takes"] == ["hash", "url"]
    assert status["not_sent"][1] == {"call": "changes", "said": "they are not followed: it is dead"}


def test_nothing_is_said_of_a_breaker_while_ksn_is_not_enabled(side: KsnSide) -> None:
    """There is no service that could fail."""
    side.ksn.status = replace(side.ksn.status, enabled=False)
    out = ksn(side, "status").out
    assert "provider    has not enabled KSN" in out
    assert "breaker" not in out


def test_a_check_is_good_where_all_of_it_is(side: KsnSide) -> None:
    """Each thing that was tried has its line; one that is not good makes exit code 1."""
    good, bad = Step("name", True, "192.0.2.1"), Step("TLS", False, "the certificate is expired")
    side.ksn.checks = [good]
    assert ksn(side, "check").code == 0
    side.ksn.checks = [good, bad]
    ran = ksn(side, "check", "--tenant", "acme")
    assert ran.code == 1
    assert ran.out.splitlines()[1:] == [
        "name   good      192.0.2.1",
        "TLS    NOT GOOD  the certificate is expired",
    ]
    assert side.ksn.asked[-1] == ("check", "acme")


def test_a_check_that_tried_nothing_is_not_good(side: KsnSide) -> None:
    """An empty list is no proof."""
    assert ksn(side, "check").code == 1


def test_a_check_that_is_refused_is_one_line(side: KsnSide) -> None:
    """For a tenant that does not take part, nothing is sent."""
    side.ksn.refusal = "the tenant does not take part"
    ran = ksn(side, "check")
    assert (ran.code, ran.out, ran.err) == (2, "", "svm: the tenant does not take part\n")


@pytest.mark.parametrize(
    ("zone", "means"),
    [
        (Zone.RED, "MALICIOUS"),
        (Zone.GREEN, "CLEAN"),
        (Zone.NOT_FOUND, "nothing: the content is scanned here"),
    ],
)
def test_what_ksn_says_is_shown_with_what_it_means(side: KsnSide, zone: Zone, means: str) -> None:
    """Not found is an answer too."""
    side.ksn.answer = LookUpView(Answer(zone, "Trojan.X\x1b", "malware"))
    ran = ksn(side, "lookup", DIGEST.hex())
    assert (ran.code, ran.err) == (0, "")
    assert f"zone      {zone}\nmeans     {means}\nthreat    Trojan.X?\ncategory  malware\n" in ran.out
    assert side.ksn.asked == [("look up", "default", DIGEST)]


def test_a_file_is_hashed_at_home(side: KsnSide, tmp_path: Path) -> None:
    """Its digest is asked about, on behalf of the tenant that is named."""
    (tmp_path / "setup.exe").write_bytes(b"MZ")
    side.ksn.answer = LookUpView(Answer(Zone.GREY))
    assert ksn(side, "lookup", tmp_path / "setup.exe", "--tenant", "acme").code == 0
    assert side.ksn.asked == [("look up", "acme", hashlib.sha256(b"MZ").digest())]


def test_software_is_named_in_every_zone(side: KsnSide) -> None:
    """A Grey answer decides nothing, and still says which program it is."""
    answer = Answer(Zone.GREY, category="Browser", program="Firefox 115.0 (Mozilla)")
    side.ksn.answer = LookUpView(answer)
    out = ksn(side, "lookup", DIGEST.hex()).out
    assert "means     nothing: the content is scanned here\n" in out
    assert "program   Firefox 115.0 (Mozilla)\ncategory  Browser\n" in out


def test_no_answer_is_told_with_its_reason(side: KsnSide) -> None:
    """One line that says where to look further, and exit code 2."""
    ran = ksn(side, "lookup", DIGEST.hex())
    said = "svm: KSN took too long; `svm ksn check` tries it step by step\n"
    assert (ran.code, ran.out, ran.err) == (2, "", said)


def test_what_is_neither_digest_nor_file_is_not_asked_about(side: KsnSide, tmp_path: Path) -> None:
    """A directory, a digest that is cut off, a name of nothing."""
    for subject in (tmp_path, DIGEST.hex()[:-1], "nothing.exe"):
        ran = ksn(side, "lookup", subject)
        assert ran.code == 2
        assert "is neither 64 hexadecimal digits nor a file that is here" in ran.err
    assert side.ksn.asked == []


def test_an_address_is_asked_about_as_one(side: KsnSide) -> None:
    """What the answer is about is shown; a zone that decides nothing vouches for nothing."""
    side.ksn.answer = LookUpView(Answer(Zone.RED, "", "Phishing"), asked="domain example.com")
    ran = ksn(side, "lookup", "http://www.example.com/x")
    assert (ran.code, ran.err) == (0, "")
    assert "domain    example.com\nzone      Red\nmeans     MALICIOUS\ncategory  Phishing\n" in ran.out
    assert side.ksn.asked == [("look up", "default", "http://www.example.com/x")]
    side.ksn.answer = LookUpView(Answer(Zone.NOT_FOUND), asked="domain example.com")
    assert "means   nothing is known of it" in ksn(side, "lookup", "http://www.example.com/x").out
    assert "no scheme of the web" in ksn(side, "lookup", "gopher://x").err
