"""`svm-host scan-image` of a machine that runs, whose libvirt goes meanwhile: real libvirt, QEMU and SVM."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.test_scan_image import define
from tests.support.disk_images import converted, ext4
from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.svm import DEADLINE
from tests.support.svm_process import ROOT, SvmProcess, svm_process


@dataclass(frozen=True, slots=True)
class Lab:
    """A machine `web` that runs, with one file on its disk, and an SVM."""

    host: KvmHost
    svm: SvmProcess
    directory: Path

    @property
    def backups(self) -> Path:
        """Where a backup has its files."""
        return self.host.directory / "b"

    def begun(self) -> subprocess.Popen[str]:
        """A scan of it, which keeps what it reads."""
        words = (
            "scan-image",
            "web",
            "--json",
            "--incremental",
            "--socket",
            self.svm.directory / "admin.sock",
        )
        where = ("--connect", self.host.uri, "--config", self.directory / "svm-host.toml")
        return subprocess.Popen(
            [sys.executable, "-m", "appliance.hypervisor", *map(str, words + where)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    @contextmanager
    def held(self) -> Iterator[subprocess.Popen[str]]:
        """A scan which is in its middle for the length of a `with`, and goes on then."""
        os.kill(self.svm.process.pid, signal.SIGSTOP)  # so that the scan waits
        try:
            scan = self.begun()
            until(self.is_connected)
            yield scan
        finally:
            os.kill(self.svm.process.pid, signal.SIGCONT)

    def is_connected(self) -> bool:
        """Whether a scan has connected to its backup, which has begun to the end then.

        QEMU's own end is in another network namespace, and so is not in this list.
        """
        return str(self.backups) in Path("/proc/net/unix").read_text()


def told(scan: subprocess.Popen[str]) -> dict[str, Any]:
    """What a scan says at its end."""
    out, err = scan.communicate(timeout=DEADLINE)
    assert err == ""
    found = json.loads(out)
    assert isinstance(found, dict)
    return found | {"code": scan.returncode}


def until(is_so: Any) -> None:
    """Wait for something."""
    end = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """One."""
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "one").write_bytes(b"1" * 1000)
    (tmp_path / "svm").mkdir()
    try:
        with kvm_host(directory / "h") as host, svm_process(tmp_path / "svm") as svm:
            made = Lab(host, svm, tmp_path)
            made.backups.mkdir()
            (tmp_path / "svm-host.toml").write_text(
                f'state_dir = "{tmp_path}/state"\n[disks]\nbackup_dir = "{made.backups}"\n'
            )
            define(host, converted(ext4(tmp_path / "tree", tmp_path / "raw"), directory / "disk.qcow2"))
            host.virsh("start", "web")
            yield made
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_a_libvirt_that_is_started_anew_meanwhile_breaks_nothing(lab: Lab) -> None:
    """The scan comes to its end, its backup is over then, and what it kept counts for the next."""
    with lab.held() as scan:
        lab.host.kill_libvirtd()
        lab.host.start_libvirtd()
    first = told(scan)
    assert (first["code"], first["files"], first["problems"], first["notes"]) == (0, 1, [], [])
    assert list(lab.backups.iterdir()) == []
    until(lambda: "none" in lab.host.virsh("domjobinfo", "web").lower())
    assert len(lab.host.virsh("checkpoint-list", "web", "--name").split()) == 1
    second = told(lab.begun())
    assert (second["code"], second["unchanged"], second["notes"]) == (0, 1, [])


def test_a_libvirt_that_stays_away_leaves_a_backup_that_the_next_scan_ends(lab: Lab) -> None:
    """What could not be seen and what goes on is told, with what ends it; what QEMU uses stays till then."""
    with lab.held() as scan:
        lab.host.kill_libvirtd()
    first = told(scan)
    ((why,), (note,)) = ([each["why"] for each in first["problems"]], first["notes"])
    assert (first["code"], first["files"]) == (2, 1)
    assert "nobody says how web fared while it was read (libvirt went and did not come back in 10 s" in why
    assert "the backup of web could not be ended and may go on in QEMU" in note
    assert "scan web again once libvirt answers, which ends it and clears up" in note
    assert len(list(lab.backups.iterdir())) == 2
    lab.host.start_libvirtd()
    assert "kvmla-" in lab.host.virsh("backup-dumpxml", "web")
    second = told(lab.begun())
    assert (second["code"], second["files"], second["problems"]) == (0, 1, [])
    assert list(lab.backups.iterdir()) == []
    until(lambda: "none" in lab.host.virsh("domjobinfo", "web").lower())
    assert len(lab.host.virsh("checkpoint-list", "web", "--name").split()) == 1
