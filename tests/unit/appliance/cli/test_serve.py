"""svm serve as a process: how it starts, says that it is ready, and fails."""

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.commands import Ran, svm, svm_program
from tests.support.svm_process import svm_process, write_config

DEADLINE = 30.0


def serve(directory: Path, server: str = "", environ: Mapping[str, str] | None = None) -> Ran:
    """Run an SVM that cannot start. server: a line for that table of its settings."""
    config = write_config(directory)
    config.write_text(config.read_text().replace("[server]", f"[server]\n{server}"))
    return svm_program("serve", "--config", config, environ=environ)


def complaint(ran: Ran) -> str:
    """The line that is not a log line."""
    [line] = [line for line in ran.err.splitlines() if line.startswith("svm: ")]
    return line


def test_it_tells_systemd_when_guests_can_attach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY=1 goes to NOTIFY_SOCKET; SIGTERM then ends it with 0."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(DEADLINE)
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with svm_process(tmp_path) as running:
            assert systemd.recv(100) == b"READY=1"
            with socket.socket(socket.AF_UNIX) as guest:
                guest.connect(str(tmp_path / "svm.sock"))
            running.signal(signal.SIGTERM)
            assert running.wait() == 0


def test_an_abstract_address_of_systemd_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leading @ stands for the zero byte of an abstract name."""
    name = f"svm-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(DEADLINE)
        systemd.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        with svm_process(tmp_path):
            assert systemd.recv(100) == b"READY=1"


def test_a_systemd_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SVM whose NOTIFY_SOCKET nobody reads serves all the same."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with svm_process(tmp_path) as running:
        running.signal(signal.SIGTERM)
        assert running.wait() == 0


def test_settings_with_a_typo_stop_it_before_anything_is_touched(tmp_path: Path) -> None:
    """The line is named, exit code 2, and no file is made."""
    config = tmp_path / "svm.toml"
    config.write_text(f'[server]\nstate_dri = "{tmp_path}/state"\n')
    ran = svm("serve", "--config", config)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"svm: {config}:2: server.state_dri: no such setting; did you mean state_dir?\n"
    assert list(tmp_path.iterdir()) == [config]


def test_something_else_at_the_socket_is_told(tmp_path: Path) -> None:
    """A file that is no socket is left alone; exit code 1."""
    (tmp_path / "svm.sock").write_text("precious")
    ran = serve(tmp_path)
    assert ran.code == 1
    assert f"{tmp_path}/svm.sock is no socket" in complaint(ran)
    assert (tmp_path / "svm.sock").read_text() == "precious"


def test_a_state_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file stands in the way: one line with its path, exit code 1."""
    (tmp_path / "state").write_text("in the way")
    ran = serve(tmp_path)
    assert (ran.code, ran.out) == (1, "")
    assert complaint(ran).startswith(f"svm: {tmp_path}/state: File exists; ")


def test_a_metrics_address_that_is_taken_is_told(tmp_path: Path) -> None:
    """The setting to change is named, exit code 1."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ran = serve(tmp_path, server=f'metrics = "127.0.0.1:{other.getsockname()[1]}"')
    assert ran.code == 1
    assert "in use; set another server.metrics" in complaint(ran)


def test_a_machine_without_a_sandbox_is_told(tmp_path: Path) -> None:
    """No bubblewrap: it does not start, and says what to install; exit code 1."""
    ran = serve(tmp_path, environ={"PATH": str(tmp_path)})
    assert ran.code == 1
    assert "bubblewrap" in complaint(ran)


@pytest.mark.parametrize(
    "fault", [ValueError("\x1b[2J a guest's word"), ExceptionGroup("chores", [OSError(28, "No space left")])]
)
def test_a_fault_of_its_own_is_no_fault_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """It ends with 1, after which systemd starts it anew, and shows all of it; it steers no terminal."""

    async def falls_over(*_: object) -> None:
        raise fault

    monkeypatch.setattr("appliance.cli.serve.serve", falls_over)
    ran = svm("serve", "--config", write_config(tmp_path))
    assert ran.code == 1
    assert f"{type(fault).__name__}: " in ran.err
    assert "\x1b" not in ran.err
    assert complaint(ran).startswith("svm: it could not go on, by a fault of its own")


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    """What must not be lost is never thrown away silently; exit code 1."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.lmdb").write_bytes(b"garbage" * 5000)
    ran = serve(tmp_path)
    assert ran.code == 1
    assert "state.lmdb" in complaint(ran)
