"""The settings of `svm-host`."""

import tomllib
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import appliance.hypervisor
from appliance.config_file import ConfigError
from appliance.hypervisor.settings import HostSettings, load

EXAMPLE = Path(appliance.hypervisor.__path__[0]) / "svm-host.example.toml"


def test_without_a_file_the_defaults_count() -> None:
    """The libvirt of this machine."""
    assert load(None, {}) == HostSettings()
    assert HostSettings().libvirt.uri == ("qemu:///system",)


def test_the_environment_names_a_file_and_an_argument_wins(tmp_path: Path) -> None:
    """As with the other programs."""
    (tmp_path / "a.toml").write_text('[libvirt]\nuri = ["test:///a"]\n')
    (tmp_path / "b.toml").write_text('[libvirt]\nuri = ["test:///b"]\n')
    environ = {"KVMLA_HOST_CONFIG": str(tmp_path / "a.toml")}
    assert load(None, environ).libvirt.uri == ("test:///a",)
    assert load(tmp_path / "b.toml", environ).libvirt.uri == ("test:///b",)


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    """All of it, since no command lists it."""
    (tmp_path / "a.toml").write_text('state_dir = "here"\n[svm]\nserver = 5\n')
    with pytest.raises(ConfigError, match=r"toml:1: state_dir: .*; .*toml:3: svm.server: must be a str"):
        load(tmp_path / "a.toml", {})


def test_the_example_has_every_setting_with_its_default() -> None:
    """It names each of them, and nothing else."""
    settings = HostSettings()
    table = tomllib.loads(EXAMPLE.read_text())
    written = {name: set(value) for name, value in table.items() if isinstance(value, dict)}
    expected = {
        field.name: {each.name for each in fields(getattr(settings, field.name))}
        for field in fields(settings)
        if is_dataclass(getattr(settings, field.name))
    }
    assert written == expected
    assert set(table) == {field.name for field in fields(settings)}
    assert load(EXAMPLE, {}) == settings


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[machines]\ntenants = ["acme"]', "'acme' is not TENANT=PATTERN"),
        ('[machines]\ntenants = ["a b=*"]', "'a b' is no name of a tenant"),
        ('[machines]\ntenant = "a/b"', "'a/b' is no name of a tenant"),
        ('[isolation]\non = ["attach"]', "give one of malicious, suspicious, outbreak, clone"),
        ("[isolation]\nat_most_per_hour = 0", "give 1 to 100000"),
    ],
)
def test_what_no_machine_can_have_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """At its line."""
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=f"toml:2: .*{sentence}"):
        load(tmp_path / "a.toml", {})
