"""Tests of putting settings together."""

from pathlib import Path

import pytest

from guest_stub.cli.arguments import parse
from guest_stub.cli.setup import prepare
from guest_stub.config import DEFAULT_SVM, ConfigError
from guest_stub.identity.machine import machine
from guest_stub.identity.store import IdentityStore
from guest_stub.version import VERSION
from tests.unit.guest_stub.identity.test_kept import SOUND


def test_the_command_line_wins(tmp_path: Path) -> None:
    """Over the environment, which wins over the file."""
    (tmp_path / "stub.toml").write_text('svm = "unix:/file"\nstate_dir = "/file"\ndecisions_mib = 3\n')
    common = ["status", "--config", str(tmp_path / "stub.toml")]
    environ = {"KVMLA_SVM": "unix:/environment"}
    chosen = prepare(parse([*common, "--svm", "unix:/option", "--state", "/option"]), environ)
    assert (chosen.svm, chosen.store.directory) == ("unix:/option", Path("/option"))
    assert prepare(parse(common), environ).svm == "unix:/environment"
    plain = prepare(parse(common), {})
    assert (plain.svm, plain.store.directory, plain.store.map_bytes) == ("unix:/file", Path("/file"), 3 << 20)


def test_where_nothing_says_which_it_is_the_svm_that_this_guest_enrolled_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is said wins; before it enrols, and where its identity is damaged, it is the default."""
    (tmp_path / "stub.toml").write_text("")
    words = ["status", "--config", str(tmp_path / "stub.toml"), "--state", str(tmp_path / "state")]
    assert prepare(parse(words), {}).svm == DEFAULT_SVM
    store = IdentityStore(tmp_path / "state")
    with store.open() as opened:
        opened.keep(SOUND)
    setup = prepare(parse(words), {})
    assert (setup.svm, setup.is_svm_set, setup.target.proof()) == (SOUND.svm, False, SOUND.proof)
    assert prepare(parse(words), {"KVMLA_SVM": "unix:/x"}).svm == "unix:/x"
    assert prepare(parse([*words, "--svm", "unix:/y"]), {}).is_svm_set
    (store.directory / "identity.json").write_text("{")
    assert capsys.readouterr().err == ""
    assert prepare(parse(words), {}).svm == DEFAULT_SVM
    assert "identity.json: it is damaged" in capsys.readouterr().err


def test_a_daemon_goes_where_its_guest_enrols_meanwhile(tmp_path: Path) -> None:
    """Unless it was told where; and where that is damaged, where it went before."""
    (tmp_path / "stub.toml").write_text("")
    words = ["run", "--config", str(tmp_path / "stub.toml"), "--state", str(tmp_path / "state")]
    setup, told = prepare(parse(words), {}), prepare(parse([*words, "--svm", "unix:/y"]), {})
    assert setup.target_now().address == DEFAULT_SVM
    store = IdentityStore(tmp_path / "state")
    with store.open() as opened:
        opened.keep(SOUND)
    assert setup.target_now().address == SOUND.svm
    assert told.target_now().address == "unix:/y"
    (store.directory / "identity.json").write_text("{")
    assert setup.target_now().address == DEFAULT_SVM


def test_the_quarantine_is_beside_the_decisions(tmp_path: Path) -> None:
    """Its bounds are those that are set."""
    (tmp_path / "stub.toml").write_text("quarantine_mib = 3\nquarantine_days = 4\n")
    setup = prepare(parse(["status", "--config", str(tmp_path / "stub.toml"), "--state", "/option"]), {})
    assert setup.quarantine.directory == Path("/option/quarantine")
    assert (setup.quarantine.bounds.bytes, setup.quarantine.bounds.days) == (3 << 20, 4)


def test_the_stub_introduces_itself(tmp_path: Path) -> None:
    """Version, system, boot and host stand in its labels."""
    setup = prepare(parse(["status", "--state", str(tmp_path)]), {})
    assert setup.labels.stub_version == VERSION
    assert setup.labels.host_name
    assert setup.labels.boot_id == setup.store.boot_id
    assert setup.labels.machine == machine()


def test_a_wrong_configuration_is_refused(tmp_path: Path) -> None:
    """The sentence comes through."""
    (tmp_path / "stub.toml").write_text("typo = 1\n")
    with pytest.raises(ConfigError, match='"typo" is not a setting'):
        prepare(parse(["status", "--config", str(tmp_path / "stub.toml")]), {})
