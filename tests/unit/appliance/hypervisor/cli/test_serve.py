"""svm-host serve, as a process, over libvirt's own test host; tests/integration has a real one and an SVM."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.svm_process import ROOT
from tests.support.virt_test_host import own_test_host


def serve(directory: Path, **environ: str) -> subprocess.Popen[str]:
    """Begin to serve from a directory."""
    config = directory / "svm-host.toml"
    config.write_text(f'state_dir = "{directory}/state"\n[libvirt]\nuri = ["{own_test_host(directory)}"]\n')
    words = [sys.executable, "-m", "appliance.hypervisor", "serve", "--config", str(config)]
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
    return subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env=os.environ | paths | environ, cwd=ROOT
    )


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """systemd is told; a second one is refused; its lines are JSON."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        with serve(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="9000000") as first:
            while manager.recv(100) != b"READY=1":
                pass
            with serve(tmp_path) as second:
                _, err = second.communicate(timeout=60)
            assert (second.returncode, err.startswith("svm-host: another svm-host serves from")) == (1, True)
            first.send_signal(signal.SIGTERM)
            _, err = first.communicate(timeout=60)
            assert first.returncode == 0
            said = {manager.recv(100)}
            while b"STOPPING=1" not in said:
                said.add(manager.recv(100))
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert {"serving", "no SVM is told", "stopped"} <= set(events)
    assert events[-1] == "stopped"


def test_settings_that_cannot_be_used_are_a_sentence(tmp_path: Path) -> None:
    """As for every command."""
    (tmp_path / "state").write_text("")
    with serve(tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "see that svm-host may write state_dir" in err) == (1, True)
