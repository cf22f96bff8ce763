"""The program `kvmla-first-boot`; tests/real_vms/test_images_boot.py has it in a machine."""

import pwd

import pytest

from appliance.first_boot import __main__ as program
from appliance.first_boot.disks import Disks, FirstBootError


def test_what_goes_wrong_is_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By which systemd does not start the SVM."""

    def no_disk(_disks: Disks) -> None:
        raise FirstBootError("there is no disk for the state: give one")

    monkeypatch.setattr(Disks, "state", no_disk)
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: pwd.getpwuid(0))
    assert program.main() == 1
    assert capsys.readouterr().err == "kvmla-first-boot: there is no disk for the state: give one\n"
