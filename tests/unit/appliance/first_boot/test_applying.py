"""What a seed says is put where it counts."""

import stat
import subprocess
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from appliance.first_boot.applying import Machine, guard_rules
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


def test_an_address_that_is_new_gets_into_the_svms_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `svm init` says to do: it was deployed again, elsewhere."""
    program = tmp_path / "svm"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--renew-server*) echo "$@"; exit 0;; esac\n'
        "echo 'without it: `svm init --renew-server` makes a newer one' >&2; exit 2\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr("appliance.first_boot.applying.USER", 0)
    said = Machine(tmp_path).init(SEED, str(program))
    assert said.split()[3:] == ["--renew-server", "--address", "10.113.0.2"]


def test_a_card_takes_nothing_for_the_address_of_another(tmp_path: Path) -> None:
    """In a network of its own: the kernel drops it, and takes what is for the card itself."""
    script = "".join(f"{' '.join(rule)} && " for rule in guard_rules("one", "10.9.1.2"))
    apart = f"""
set -e
ip link set lo up
ip link add one type veth peer name far
ip addr add 10.9.0.2/24 dev one; ip link set one up; ip link set far up
ip addr add 10.9.1.2/24 dev far
{script} true
ip route get 10.9.0.2 from 10.9.0.9 iif one
ip route get 10.9.1.2 from 10.9.0.9 iif one && exit 3
ip route get 10.9.1.2
"""
    ran = subprocess.run(
        ["unshare", "--net", "sh", "-c", apart], check=False, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    taken = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("local ")]
    assert taken == ["10.9.0.2", "10.9.1.2"]


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
