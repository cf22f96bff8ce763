"""What a seed says is put where it counts."""

import stat
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from appliance.first_boot.applying import Machine
from appliance.first_boot.disks import FirstBootError
from appliance.first_boot.seed import Card, Seed

SEED = Seed(
    "kvmla-svm",
    Card("52:54:00:00:00:01", IPv4Interface("10.113.0.2/24")),
    None,
    ("--address", "10.113.0.2"),
    '[server]\nlisten = "tcp:10.113.0.2:7443"\n',
    ("ssh-ed25519 AAAA alice",),
)


def test_name_network_settings_and_keys_are_put_there(tmp_path: Path) -> None:
    """The keys are root's eyes only."""
    Machine(tmp_path).apply(SEED)
    assert (tmp_path / "etc/hostname").read_text() == "kvmla-svm\n"
    assert "10.113.0.2/24" in (tmp_path / "etc/systemd/network/05-kvmla-guests.network").read_text()
    assert (tmp_path / "etc/kvm-light-agent/svm.toml").read_text() == SEED.settings
    keys = tmp_path / "root/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA alice\n"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600


def test_done_again_nothing_is_touched(tmp_path: Path) -> None:
    """Each start does it again."""
    machine = Machine(tmp_path)
    machine.apply(SEED)
    before = machine.settings.stat().st_ino
    machine.apply(SEED)
    assert machine.settings.stat().st_ino == before


def test_what_svm_init_cannot_do_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own words. Here it is run as this user."""
    program = tmp_path / "svm"
    program.write_text('#!/bin/sh\necho "$@" >&2\nexit 2\n')
    program.chmod(0o755)
    monkeypatch.setattr("appliance.first_boot.applying.USER", 0)
    with pytest.raises(FirstBootError, match=r"`svm init` failed: init --config \S+ --address 10\.113\.0\.2"):
        Machine(tmp_path).init(SEED, str(program))


def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback at the console."""
    monkeypatch.setattr("appliance.first_boot.applying.USER", 0)
    with pytest.raises(FirstBootError, match="could not be run"):
        Machine(tmp_path).init(SEED, str(tmp_path / "none"))
