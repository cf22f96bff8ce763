"""Which SVM a command speaks to."""

import argparse
from pathlib import Path

import pytest

from appliance.cli.console import CommandError
from appliance.hypervisor.cli.svm import add_svm_arguments, svm_line
from appliance.hypervisor.settings import HostSettings, SvmSettings
from appliance.rpc.admin_line import AdminLine, CertificateLine, SocketLine


def line(*words: str, server: str = "") -> AdminLine:
    """The way that a command line and settings lead."""
    parser = argparse.ArgumentParser()
    add_svm_arguments(parser)
    settings = HostSettings(svm=SvmSettings(server, Path("/id")))
    return svm_line(parser.parse_args(words), settings)


def test_the_settings_name_it_and_arguments_win() -> None:
    """A socket before all."""
    assert line(server="a:1") == CertificateLine("a:1", Path("/id"))
    assert line("--server", "b:2", "--identity", "/x", server="a:1") == CertificateLine("b:2", Path("/x"))
    assert line("--socket", "/s", server="a:1") == SocketLine("/s")


def test_no_svm_is_a_sentence() -> None:
    """It says where one is named."""
    with pytest.raises(CommandError, match=r"set svm\.server in the settings"):
        line()
