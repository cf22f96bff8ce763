"""Where the port of this machine's host is."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from guest_stub.identity.port import PORT_NAME, Ports, PortState


def ports(directory: Path) -> Ports:
    """Those of a machine whose /dev and /sys stand in a directory."""
    for name in ("named", "known", "dev"):
        (directory / name).mkdir()
    return Ports(directory / "named", directory / "known", directory / "dev")


def test_udev_names_it(tmp_path: Path) -> None:
    """Where there is one."""
    found = ports(tmp_path)
    assert found.find() is None
    (tmp_path / "named" / PORT_NAME).touch()
    assert found.find() == tmp_path / "named" / PORT_NAME


def test_without_udev_the_kernel_does(tmp_path: Path) -> None:
    """Among other ports, some of which have no name."""
    found = ports(tmp_path)
    for port, name in (("vport0p1", "org.qemu.guest_agent.0"), ("vport0p2", ""), ("vport1p1", PORT_NAME)):
        (tmp_path / "known" / port).mkdir()
        (tmp_path / "known" / port / "name").write_text(f"{name}\n")
    (tmp_path / "known" / "vport0p3").mkdir()
    assert found.find() == tmp_path / "dev" / "vport1p1"


def test_a_machine_without_such_ports_has_none(tmp_path: Path) -> None:
    """Nor has one of another kind of hardware."""
    assert Ports(tmp_path / "a", tmp_path / "b", tmp_path / "c").find() is None


def test_how_it_stands_with_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it cannot be opened."""
    found = ports(tmp_path)
    assert found.state() is PortState.NONE
    ours, theirs = os.openpty()
    (tmp_path / "named" / PORT_NAME).symlink_to(os.ttyname(theirs))
    assert found.state() is PortState.ATTENDED
    os.close(ours)
    (tmp_path / "named" / PORT_NAME).unlink()
    (tmp_path / "named" / PORT_NAME).touch()
    with monkeypatch.context() as patch:  # the name of a pseudo-terminal goes with its other end
        patch.setattr(os, "open", lambda *_words, **_more: os.dup(theirs))
        assert found.state() is PortState.LEFT
    os.close(theirs)
    for number, state in (
        (errno.EBUSY, PortState.BUSY),
        (errno.EACCES, PortState.FORBIDDEN),
        (errno.EIO, PortState.LEFT),
    ):
        monkeypatch.setattr(os, "open", _fails(number))
        assert found.state() is state


def _fails(number: int) -> Callable[..., int]:
    def fails(*_words: object, **_more: object) -> int:
        raise OSError(number, "")

    return fails


def test_a_port_is_attended_to_while_the_host_holds_its_end(tmp_path: Path) -> None:
    """Else nobody would hear what is asked: no program is begun for that."""
    found = ports(tmp_path)
    assert not found.is_attended()
    ours, theirs = os.openpty()
    (tmp_path / "named" / PORT_NAME).symlink_to(os.ttyname(theirs))
    assert found.is_attended()
    os.close(ours)
    assert not found.is_attended()
    os.close(theirs)
    assert not found.is_attended()
