"""Sockets and ports."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.config_doors import AdministratorSettings, ServerSettings
from appliance.doctor.doors import door_findings, doors
from appliance.doctor.findings import Finding
from tests.support.relay import free_port


def settings(directory: Path, **server: str) -> Settings:
    """With sockets in a directory."""
    usual = {"listen": f"unix:{directory}/svm.sock", "admin": f"{directory}/admin.sock"}
    return Settings(server=ServerSettings(**{**usual, **server}))  # type: ignore[arg-type]


def marks(found: Iterator[Finding]) -> dict[str, bool | None]:
    """What is well and what is not."""
    return {each.what: each.good for each in found}


def test_every_door_of_the_settings_is_looked_at(tmp_path: Path) -> None:
    """Sockets with the rights that they may give, and addresses of both kinds."""
    made = settings(
        tmp_path,
        listen="tcp:[::1]:7443",
        enrolment="0.0.0.0:7444",
        admin_listen="svm:7445",
        metrics="[::]:9470",
    )
    assert {each.setting: str(each) for each in doors(made)} == {
        "server.admin": f"{tmp_path}/admin.sock",
        "server.listen": "[::1]:7443",
        "server.enrolment": "0.0.0.0:7444",
        "server.admin_listen": "svm:7445",
        "server.metrics": "[::]:9470",
    }
    shared = Settings(administrators=AdministratorSettings(auditors=("user:0",)))
    assert [door.mode for door in doors(Settings())] == [0o600, 0o660]
    assert doors(shared)[0].mode == 0o666


def test_doors_that_are_free_are_well(tmp_path: Path) -> None:
    """Where no SVM serves."""
    made = settings(tmp_path, metrics=f"127.0.0.1:{free_port()}", enrolment=f"[::1]:{free_port()}")
    assert set(marks(door_findings(made, serving=False)).values()) == {True}
    missing = settings(tmp_path / "run")
    assert marks(door_findings(missing, serving=False)) == {"server.admin": None, "server.listen": None}


def test_doors_that_somebody_else_has_are_amiss(tmp_path: Path) -> None:
    """A port, a socket that answers, a file in a socket's place, an address of another machine."""
    (tmp_path / "admin.sock").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken, closing(socket.socket(socket.AF_UNIX)) as unix:
        unix.bind(f"{tmp_path}/svm.sock")
        unix.listen()
        port = taken.getsockname()[1]
        made = settings(tmp_path, metrics=f"127.0.0.1:{port}", enrolment="192.0.2.1:7444")
        found = list(door_findings(made, serving=False))
    assert set(marks(iter(found)).values()) == {False}
    said = {each.what: each.said for each in found}
    assert "something else listens there" in said["server.metrics"]
    assert "does not have that address" in said["server.enrolment"]
    assert "something else answers" in said["server.listen"]
    assert "no socket" in said["server.admin"]


def test_a_socket_that_was_left_behind_is_no_trouble(tmp_path: Path) -> None:
    """An SVM that was killed left it."""
    with closing(socket.socket(socket.AF_UNIX)) as unix:
        unix.bind(f"{tmp_path}/svm.sock")
    assert marks(door_findings(settings(tmp_path), serving=False))["server.listen"] is True


def test_while_an_svm_serves_each_door_has_to_answer(tmp_path: Path) -> None:
    """A socket that was removed, or that gives others rights, and a port that is dead, are amiss."""
    with (
        socket.create_server(("127.0.0.1", 0)) as port,
        closing(socket.socket(socket.AF_UNIX)) as guests,
    ):
        guests.bind(f"{tmp_path}/svm.sock")
        os.chmod(tmp_path / "svm.sock", 0o660)
        made = settings(
            tmp_path, enrolment=f"0.0.0.0:{port.getsockname()[1]}", metrics=f"127.0.0.1:{free_port()}"
        )
        assert marks(door_findings(made, serving=True)) == {
            "server.admin": False,
            "server.listen": True,
            "server.enrolment": True,
            "server.metrics": False,
        }
        os.chmod(tmp_path / "svm.sock", 0o666)
        assert marks(door_findings(made, serving=True))["server.listen"] is False


@pytest.mark.parametrize("serving", [True, False])
def test_figures_for_everybody_are_to_be_known(tmp_path: Path, serving: bool) -> None:
    """They ask for no name."""
    made = settings(tmp_path, metrics=f"0.0.0.0:{free_port()}")
    notes = [each for each in door_findings(made, serving) if each.good is None]
    assert [each.what for each in notes] == ["server.metrics"]
