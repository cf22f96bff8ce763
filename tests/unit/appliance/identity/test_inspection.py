"""Looks at the identity's files as they are."""

import os
import shutil
from pathlib import Path

import pytest

from appliance.domain.identity import SERVER_NAME
from appliance.identity.files import Wanted, make
from appliance.identity.inspection import first_of, inspect, inspect_holder
from appliance.identity.keys import key_pem, new_key
from tests.support.identities import DAY, NOW, an_authority


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An identity as `svm init` makes it."""
    make(tmp_path, Wanted("one", ["10.0.0.1", "svm.example.net"], days=(800, 300)), NOW)
    return tmp_path / "identity"


def test_a_sound_identity_has_no_problems(directory: Path) -> None:
    """Its certificates are told with their times and names."""
    seen = inspect(directory)
    assert seen.problems == ()
    assert [each.file for each in seen.certificates] == ["ca.pem", "server.pem", "administrator.pem"]
    server = seen.certificates[1]
    assert (server.begins, server.ends) == (NOW - 3600, NOW + 800 * DAY)
    assert server.names == (SERVER_NAME, "10.0.0.1", "svm.example.net")
    assert first_of(directory / "server.pem") == server


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ca.pem", "ca.pem cannot be used (No such file or directory)"),
        ("ca.key", "ca.key cannot be read (No such file or directory)"),
        ("server.pem", "server.pem cannot be used (No such file or directory)"),
        ("server.key", "server.key is not there"),
    ],
)
def test_a_file_that_is_missing_is_told(directory: Path, name: str, said: str) -> None:
    """One sentence for each."""
    (directory / name).unlink()
    (problem,) = inspect(directory).problems
    assert problem.startswith(said)


def test_an_administrator_who_moved_away_is_no_problem(directory: Path) -> None:
    """His key, or both, are where he works."""
    (directory / "administrator.key").unlink()
    assert inspect(directory).problems == ()
    (directory / "administrator.pem").unlink()
    assert inspect(directory).problems == ()


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "server.pem", "server.key", "administrator.pem"])
@pytest.mark.parametrize("content", [b"nothing", b"x" * (1 << 19)])
def test_what_is_something_else_is_told(directory: Path, name: str, content: bytes) -> None:
    """Whatever lies there, it is a sentence, and the others are looked at."""
    (directory / name).write_bytes(content)
    problems = inspect(directory).problems
    assert any(name.partition(".")[0] in problem for problem in problems)


@pytest.mark.parametrize("name", ["ca.key", "server.key", "administrator.key"])
def test_a_key_of_another_certificate_is_told(directory: Path, name: str) -> None:
    """A pair that does not belong together proves nothing."""
    (directory / name).write_bytes(key_pem(new_key()))
    (problem,) = inspect(directory).problems
    assert "key" in problem


def test_certificates_of_another_authority_are_told(directory: Path, tmp_path: Path) -> None:
    """Of the server and of the administrator."""
    (tmp_path / "other").mkdir()
    make(tmp_path / "other", Wanted("two", []), NOW)
    for name in ("ca.pem", "ca.key"):
        shutil.copy(tmp_path / "other/identity" / name, directory / name)
    problems = inspect(directory).problems
    assert [problem.split(" is not issued")[0] for problem in problems] == ["server.pem", "administrator.pem"]


def test_a_pipe_in_a_files_place_is_not_waited_for(directory: Path) -> None:
    """As whoever has taken an SVM over may put it there, for root to look at."""
    (directory / "ca.pem").unlink()
    os.mkfifo(directory / "ca.pem")
    assert any("ca.pem cannot be used (it is no file)" in problem for problem in inspect(directory).problems)


def test_a_server_that_does_not_show_its_authority_is_told(directory: Path) -> None:
    """Guests find the authority that they pinned in what it shows."""
    pem = (directory / "server.pem").read_bytes()
    (directory / "server.pem").write_bytes(pem[: pem.index(b"-----BEGIN", 10)])
    (problem,) = inspect(directory).problems
    assert "does not show the authority" in problem


def test_a_server_under_another_name_is_told(directory: Path) -> None:
    """A company's own certificate in its place would let no guest in."""
    for end in ("pem", "key"):
        shutil.copy(directory / f"administrator.{end}", directory / f"server.{end}")
    assert any(f"not for the name {SERVER_NAME}" in problem for problem in inspect(directory).problems)


def test_an_authority_that_was_given_is_looked_at_with_its_chain(tmp_path: Path) -> None:
    """A chain that does not lead upwards from it is told."""
    own = an_authority()
    make(tmp_path, Wanted("one", []), NOW)
    (tmp_path / "identity/chain.pem").write_bytes(own.pem)
    problems = inspect(tmp_path / "identity").problems
    assert any("chain does not lead upwards" in problem for problem in problems)


def test_what_somebody_was_issued_is_looked_at(directory: Path) -> None:
    """Before it is put anywhere: the certificate is of that authority and of that key."""
    authority, certificate, key = (
        (directory / name).read_bytes() for name in ("ca.pem", "administrator.pem", "administrator.key")
    )
    sound = inspect_holder(authority, certificate, key)
    assert sound.problems == ()
    assert [each.file for each in sound.certificates] == ["ca.pem", "administrator.pem"]
    other = an_authority()
    for given, said in (
        ((other.pem, certificate, key), "the certificate is not issued by the authority beside it"),
        ((authority, certificate, key_pem(new_key())), "the certificate is for another key"),
        ((b"", certificate, key), "there is no certificate as PEM"),
        ((authority, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key), "there is no"),
        ((authority, certificate, b""), "there is no certificate as PEM"),
    ):
        (problem,) = inspect_holder(*given).problems
        assert problem.startswith(said)
