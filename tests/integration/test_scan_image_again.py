"""`svm-host scan-image` of a machine that was scanned before: real libvirt and QEMU, and a real SVM.

No guest runs in the machine. What a guest would write is written through the running QEMU, on the place of its
disk where the file system's own tools would have put it.
"""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_scan_image import define, svm_host
from tests.support.contents import EICAR
from tests.support.disk_images import converted, ext4, overlay, tool, write_tree
from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.svm import DEADLINE
from tests.support.svm_process import ROOT, SvmProcess, svm_process

LARGE = 3 * (1 << 20) + 17  # bytes of /usr/bin/large
DEVICE = "/machine/peripheral/virtio-disk0/virtio-backend"


@dataclass
class Lab:
    """A machine `web` on a host, with an SVM. raw: what its disk had at first; files: how many that are."""

    host: KvmHost
    svm: SvmProcess
    directory: Path
    raw: Path
    disk: Path
    files: int

    @property
    def state(self) -> Path:
        """Of the host agent."""
        return self.directory / "state"

    @property
    def words(self) -> tuple[str, ...]:
        """Of every command."""
        return ("--connect", self.host.uri, "--config", str(self.directory / "svm-host.toml"))

    def scan(self, *words: object, what: object = "web") -> dict[str, Any]:
        """What a scan says, of which something may be found, and nothing not looked at."""
        code, told, err = svm_host(self.svm, what, *words, *self.words)
        assert code in (0, 1), (told, err)
        assert told["files"] == self.files
        return told

    def checkpoints(self) -> list[str]:
        """Names of those that the machine has."""
        return self.host.virsh("checkpoint-list", "web", "--name").split()

    def place(self, path: str) -> int:
        """Where a file of the disk begins on it."""
        told = subprocess.run(
            ["/usr/sbin/debugfs", "-R", f"blocks {path}", self.raw], check=True, capture_output=True, text=True
        )
        return int(told.stdout.split()[0]) * 4096

    def write(self, at: int, data: Path) -> None:
        """Write into the disk of the running machine, as its guest would."""
        line = f'qemu-io -d {DEVICE} "write -s {data} {at} {data.stat().st_size}"'
        assert "rror" not in self.host.virsh("qemu-monitor-command", "web", "--hmp", line)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """One, whose machine runs."""
    tree = tmp_path / "tree"
    expected = write_tree(tree)
    (tree / "etc" / "good").write_bytes(b"g" * len(EICAR))
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    (tmp_path / "svm").mkdir()
    try:
        with kvm_host(directory / "h") as host, svm_process(tmp_path / "svm") as svm:
            raw = ext4(tree, tmp_path / "raw", "-b", "4096")
            disk = converted(raw, host.directory / "disk.qcow2")
            (host.directory / "b").mkdir()
            (tmp_path / "svm-host.toml").write_text(
                f'state_dir = "{tmp_path}/state"\n[disks]\nbackup_dir = "{host.directory}/b"\n'
            )
            define(host, disk)
            host.virsh("start", "web")
            yield Lab(host, svm, tmp_path, raw, disk, len(expected) + 1)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_only_what_was_written_to_is_read_again(lab: Lab) -> None:
    """A changed file is found, others are not read; so when the machine is off, by name and by file."""
    first = lab.scan("--incremental")
    assert (first["unchanged"], first["bytes_read"]) == (0, first["bytes"])
    assert len(lab.checkpoints()) == 1
    second = lab.scan()
    assert second["notes"] == []
    assert (second["bytes_read"], second["unchanged"]) == (0, lab.files)
    bad = lab.directory / "bad"
    bad.write_bytes(EICAR.ljust(4096, b"\0"))
    lab.write(lab.place("/etc/good"), bad)
    third = lab.scan()
    assert [found["path"] for found in third["found"]] == ["/etc/good"]
    assert third["unchanged"] < second["unchanged"]
    assert third["bytes_read"] < 100_000
    (checkpoint,) = lab.checkpoints()
    assert checkpoint.startswith("kvm-light-agent-")
    fourth = lab.scan()
    assert [found["path"] for found in fourth["found"]] == ["/etc/good"]  # asked by its digest
    assert fourth["unchanged"] == second["unchanged"]
    large = lab.directory / "large"
    large.write_bytes(b"x" * 4096)
    lab.write(lab.place("/usr/bin/large"), large)
    lab.host.virsh("destroy", "web")
    for what in ("web", lab.disk):
        off = lab.scan(what=what)
        assert off["notes"] == []
        assert LARGE <= off["bytes_read"] < LARGE + 300_000
        assert off["unchanged"] >= second["unchanged"] - 10
