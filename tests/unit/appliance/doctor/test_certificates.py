"""Certificates of the SVM itself, made by the code of `svm init`."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import KsnSettings, Settings
from appliance.config_doors import ServerSettings
from appliance.doctor.certificates import certificate_findings, no_identity
from appliance.doctor.findings import Finding
from appliance.identity.files import Wanted, make
from tests.support.identities import DAY, NOW

TCP = ServerSettings(listen="tcp:10.0.0.1:7443", enrolment="0.0.0.0:7444")


def look(directory: Path, now: float = NOW, server: ServerSettings = TCP) -> list[Finding]:
    """All findings, of settings with doors on TCP."""
    return list(certificate_findings(Settings(server=replace(server, state_dir=directory)), now))


def marks(found: list[Finding]) -> dict[str, bool | None]:
    """What is well and what is not."""
    return {each.what: each.good for each in found}


def test_what_svm_init_made_is_well(tmp_path: Path) -> None:
    """Each certificate with its end, and that all belong together and fit the doors."""
    make(tmp_path, Wanted("one", ["10.0.0.1"]), NOW)
    assert marks(look(tmp_path)) == {
        "authority": True,
        "server's certificate": True,
        "administrator's certificate": True,
        "identity": True,
        "names": True,
    }


@pytest.mark.parametrize(("left", "good"), [(29, None), (6, False), (-1, False)])
def test_an_end_that_is_near_is_told_with_what_to_do(tmp_path: Path, left: int, good: bool | None) -> None:
    """For the server's certificate the command that renews it."""
    make(tmp_path, Wanted("one", ["10.0.0.1"], days=(100, 365)), NOW)
    (server,) = [
        each for each in look(tmp_path, NOW + (100 - left) * DAY) if each.what == "server's certificate"
    ]
    assert server.good is good
    assert "`svm init --renew-server`" in server.said


def test_a_clock_before_all_certificates_is_told(tmp_path: Path) -> None:
    """They do not count yet."""
    make(tmp_path, Wanted("one", ["10.0.0.1"]), NOW)
    found = [each for each in look(tmp_path, NOW - 2 * DAY) if each.what == "server's certificate"]
    assert [each.good for each in found] == [False]
    assert "clock is wrong" in found[0].said


def test_an_address_that_the_certificate_lacks_is_told(tmp_path: Path) -> None:
    """Guests do not mind it, so it is to be known and not amiss."""
    make(tmp_path, Wanted("one", ["svm.example.net"]), NOW)
    names = [each for each in look(tmp_path) if each.what == "names"]
    assert [each.good for each in names] == [None]
    assert "does not name 10.0.0.1, where" in names[0].said
    everywhere = replace(TCP, listen="tcp:[::]:7443")
    assert marks(look(tmp_path, server=everywhere))["names"] is True


def test_a_server_without_any_address_is_told(tmp_path: Path) -> None:
    """Where it listens everywhere nobody knows what to tell guests."""
    make(tmp_path, Wanted("one", []), NOW)
    assert marks(look(tmp_path, server=replace(TCP, listen="tcp:0.0.0.0:7443")))["names"] is None


def test_problems_of_the_identity_are_amiss(tmp_path: Path) -> None:
    """Each of them is a line, and nobody says that it belongs together."""
    make(tmp_path, Wanted("one", ["10.0.0.1"]), NOW)
    (tmp_path / "identity/server.key").unlink()
    (tmp_path / "identity/ca.key").unlink()
    found = [each for each in look(tmp_path) if each.what == "identity"]
    assert [each.good for each in found] == [False, False]


def test_what_needs_an_identity_misses_it() -> None:
    """The SVM does not start with a door on TCP and without one; on a socket none is needed."""
    assert no_identity(TCP).good is False
    assert "server.listen is on TCP" in no_identity(TCP).said
    doors = ServerSettings(enrolment="0.0.0.0:7444")
    assert no_identity(doors).good is False
    assert "server.enrolment is on TCP" in no_identity(doors).said
    assert no_identity(ServerSettings()).good is None


def test_certificates_for_ksn_are_looked_at(tmp_path: Path) -> None:
    """Their ends too, and one that is none is amiss."""
    make(tmp_path, Wanted("one", []), NOW)
    (tmp_path / "none.pem").write_text("nothing")
    ksn = KsnSettings(
        enabled=True, ca_file=tmp_path / "none.pem", certificate_file=tmp_path / "identity/administrator.pem"
    )
    settings = Settings(server=replace(ServerSettings(), state_dir=tmp_path), ksn=ksn)
    found = marks(list(certificate_findings(settings, NOW + 360 * DAY)))
    assert found["ksn.certificate_file"] is False
    assert found["ksn.ca_file"] is False
