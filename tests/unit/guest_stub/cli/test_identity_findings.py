"""Tests of what doctor says of the identity."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from guest_stub.cli import identity_findings as module
from guest_stub.cli.arguments import parse
from guest_stub.cli.identity_findings import identity_findings
from guest_stub.cli.setup import Setup, prepare
from tests.unit.guest_stub.identity.test_kept import SOUND

DAY = 86_400.0


def setup_in(directory: Path, svm: str = SOUND.svm) -> Setup:
    """One whose state is there."""
    (directory / "stub.toml").write_text("")
    words = ["doctor", "--state", str(directory / "state"), "--config", str(directory / "stub.toml")]
    return prepare(parse([*words, "--svm", svm]), {})


def found(setup: Setup) -> dict[str, tuple[bool | None, str]]:
    """What is said, by what it is about."""
    return {finding.what: (finding.good, finding.said) for finding in identity_findings(setup)}


def keep(setup: Setup, begins: float, renew_at: float, ends: float) -> None:
    """Have an identity; times in seconds from now."""
    now = time.time()
    with setup.identity.open() as opened:
        opened.keep(replace(SOUND, begins=now + begins, renew_at=now + renew_at, ends=now + ends))


def test_over_tcp_it_has_to_be_there(tmp_path: Path) -> None:
    """On a unix socket it has not."""
    good, said = found(setup_in(tmp_path))["identity"]
    assert (good, "run: guest-stub enrol" in said) == (False, True)
    good, said = found(setup_in(tmp_path, "unix:/x"))["identity"]
    assert (good, said) == (None, "not enrolled, which is not needed on a unix socket")


@pytest.mark.parametrize(
    ("times", "good", "words"),
    [
        ((-DAY, DAY, 2 * DAY), True, "renewed from"),
        ((-DAY, -60, DAY), None, "is renewed by guest-stub run now"),
        ((-9 * DAY, -2 * DAY, DAY), False, "was to be renewed on"),
        ((-9 * DAY, -2 * DAY, -DAY), False, "it has run out on"),
        ((DAY, 2 * DAY, 3 * DAY), False, "set the clock"),
    ],
)
def test_the_certificate_counts_or_not(
    tmp_path: Path, times: tuple[float, float, float], good: bool | None, words: str
) -> None:
    """Each state of it, with what to do where something is amiss."""
    setup = setup_in(tmp_path)
    keep(setup, *times)
    findings = found(setup)
    assert findings["identity"] == (True, "guest 1111 of tenant default")
    assert findings["certificate"][0] is good
    assert words in findings["certificate"][1]


def test_where_the_socket_is_used_it_is_said(tmp_path: Path) -> None:
    """The settings may say so by mistake."""
    setup = setup_in(tmp_path, "unix:/x")
    keep(setup, -1, -1, -1)
    assert found(setup)["certificate"] == (
        None,
        "the SVM is reached by unix:/x, where the certificate is not used",
    )


def test_a_file_that_others_may_read_is_amiss(tmp_path: Path) -> None:
    """So is a directory that they may."""
    setup = setup_in(tmp_path)
    keep(setup, -DAY, DAY, 2 * DAY)
    (setup.identity.directory / "identity.json").chmod(0o644)
    good, said = found(setup)["identity"]
    assert (good, "others may use it (mode 0644): chmod go=" in said) == (False, True)


def test_a_machine_without_an_id_is_amiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not renew."""
    setup = setup_in(tmp_path)
    keep(setup, -DAY, DAY, 2 * DAY)
    monkeypatch.setattr(module, "machine", lambda: b"m" * 32)
    assert "machine" not in found(setup)
    monkeypatch.setattr(module, "machine", lambda: b"")
    assert found(setup)["machine"][0] is False
