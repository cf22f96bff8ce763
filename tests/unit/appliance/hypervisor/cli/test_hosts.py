"""Which libvirt a command talks to."""

import argparse
import io
from pathlib import Path

import pytest

from appliance.cli.console import CommandError, Console
from appliance.hypervisor.cli.hosts import add_host_arguments, hosts, is_remote


def opened(*words: str) -> list[str]:
    """The addresses of the hosts that a command line opens."""
    parser = argparse.ArgumentParser()
    add_host_arguments(parser)
    with hosts(parser.parse_args(words), Console({}, io.StringIO(), io.StringIO(), lambda: 0.0)) as found:
        return [host.uri for host in found]


def test_an_argument_wins_over_the_settings(tmp_path: Path) -> None:
    """The settings may name several."""
    (tmp_path / "h.toml").write_text(f'[libvirt]\nuri = ["test:///default", "{_other(tmp_path)}"]\n')
    assert opened("--config", str(tmp_path / "h.toml")) == ["test:///default", _other(tmp_path)]
    assert opened("--config", str(tmp_path / "h.toml"), "--connect", "test:///default") == ["test:///default"]


def test_one_that_does_not_answer_is_told() -> None:
    """And none is used."""
    with pytest.raises(CommandError, match="no libvirt answers"):
        opened("--connect", "qemu+unix:///system?socket=/nowhere")


@pytest.mark.parametrize(
    ("uri", "remote"),
    [
        ("qemu:///system", False),
        ("qemu:///session", False),
        ("qemu+unix:///system?socket=/run/s", False),
        ("test:///tmp/node.xml", False),
        ("qemu+ssh:///system", True),
        ("qemu://host/system", True),
        ("qemu+ssh://root@host/system", True),
        ("qemu+tls://[::1]/system", True),
        ("qemu+ext:///system?command=x", True),
        ("esx://host/", True),
        ("qemu+ssh://[x/system", True),
    ],
)
def test_an_address_says_whether_it_leads_elsewhere(uri: str, remote: bool) -> None:
    """By a name of a host, or a way that is for other hosts."""
    assert is_remote(uri) is remote


def _other(tmp_path: Path) -> str:
    """A test host with another machine."""
    (tmp_path / "node.xml").write_text("<node/>")
    return f"test://{tmp_path}/node.xml"
