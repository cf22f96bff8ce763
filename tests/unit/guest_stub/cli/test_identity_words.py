"""Tests of the words of enrol, identity and renew."""

import pytest

from guest_stub.cli.arguments import parse
from guest_stub.cli.identity_words import ENROLMENT_PORT, GUESTS_PORT

DIGITS = "ab" * 32
SOUND = ["--svm", "10.0.0.1", "--token", "kvmla1_x", "--ca-fingerprint", DIGITS]


def test_enrolling_needs_an_svm_a_token_and_a_fingerprint() -> None:
    """Ports have defaults."""
    options = parse(["enrol", *SOUND])
    assert (options.place, options.enrolment_port) == (("10.0.0.1", GUESTS_PORT), ENROLMENT_PORT)
    assert (options.token, options.ca_fingerprint, options.svm) == ("kvmla1_x", bytes.fromhex(DIGITS), None)
    assert parse(["enrol", *SOUND, "--enrolment-port", "9"]).enrolment_port == 9


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("svm", ("svm", GUESTS_PORT)),
        ("tcp:svm:9", ("svm", 9)),
        ("[::1]:9", ("::1", 9)),
        ("[fe80::1]", ("fe80::1", GUESTS_PORT)),
        ("fe80::1", ("fe80::1", GUESTS_PORT)),
    ],
)
def test_an_svm_may_be_written_in_several_ways(text: str, place: tuple[str, int]) -> None:
    """A name, an address, with a port and without."""
    assert parse(["enrol", "--svm", text, *SOUND[2:]]).place == place


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--svm", ""], "is no SVM: write HOST"),
        (["--svm", "a:b"], "is no SVM: write HOST"),
        (["--svm", "a:0"], "'0' is no port"),
        (["--svm", "unix:/x"], "is no SVM: write HOST"),
        (["--svm", "a b"], "is no SVM: write HOST"),
        (["--enrolment-port", "65536"], "is no port: write a number from 1 to 65535"),
        (["--token", ""], "this is no token"),
        (["--token", "secret\nother"], "this is no token"),
        (["--token", "x" * 129], "this is no token"),
        (["--ca-fingerprint", "ab"], "is no fingerprint: it has 64 hexadecimal digits"),
        (["--token-file", "/x"], "not allowed with argument --token"),
        (["--from-host"], "not allowed with argument --token"),
        (["--wait", "0"], "is no time to wait: write a number of seconds from 1 to 3600"),
        (["--wait", "3601"], "is no time to wait"),
    ],
)
def test_a_mistake_is_a_line(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A token is not repeated in it."""
    with pytest.raises(SystemExit):
        parse(["enrol", *SOUND, *words])
    said = capsys.readouterr().err
    assert sentence in said
    assert "secret" not in said


def test_a_token_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """By one way or the other; what surrounds it falls away."""
    with pytest.raises(SystemExit):
        parse(["enrol", *SOUND[:2], *SOUND[4:]])
    assert "--token --token-file --from-host is required" in capsys.readouterr().err
    assert parse(["enrol", *SOUND, "--token", " x\n"]).token == "x"


def test_the_host_says_the_rest() -> None:
    """Nothing but how long it may take."""
    options = parse(["enrol", "--from-host", "--wait", "7"])
    assert (options.from_host, options.wait, options.place) == (True, 7.0, None)
    assert not parse(["enrol", *SOUND]).from_host


def test_the_others_say_where(capsys: pytest.CaptureFixture[str]) -> None:
    """Who the guest is, and the next certificate."""
    assert parse(["identity", "--json"]).json
    options = parse(["renew", "--now", "--svm", "tcp:h:1"])
    assert (options.now, options.svm) == (True, "tcp:h:1")
