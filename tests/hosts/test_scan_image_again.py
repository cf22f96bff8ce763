"""`svm-host scan-image` of a machine that was scanned before: real libvirt and QEMU, and a real SVM.

No guest runs in the machine. What a guest would write is written through the running QEMU, to the place where
the file lies on the disk.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.disk_reader.nbd import NbdFailed, NbdStream
from appliance.hypervisor.disks.comparing import Wish
from appliance.hypervisor.disks.running import of_machine_running
from appliance.hypervisor.disks.source import of_machine_off
from appliance.hypervisor.settings import DisksSettings, HostSettings
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.machine import find_machine
from tests.hosts.test_scan_image import define, svm_host
from tests.support.contents import EICAR
from tests.support.disk_images import converted, empty, ext4, write_tree
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
            ["/usr/sbin/debugfs", "-R", f"blocks {path}", self.raw],
            check=True,
            capture_output=True,
            text=True,
        )
        return int(told.stdout.split()[0]) * 4096

    def write(self, at: int, data: Path) -> None:
        """Write into the disk of the running machine, as its guest would."""
        line = f'qemu-io -d {DEVICE} "write -s {data} {at} {data.stat().st_size}"'
        assert "rror" not in self.host.virsh("qemu-monitor-command", "web", "--hmp", line)

    def node(self) -> str:
        """By which QEMU knows the disk's format."""
        told = self.host.virsh("qemu-monitor-command", "web", "--hmp", "info block")
        return told.split(":", 1)[0].strip()

    def qemu(self, command: str, **arguments: str) -> None:
        """Have QEMU do something."""
        asked = json.dumps({"execute": command, "arguments": arguments})
        told = json.loads(self.host.virsh("qemu-monitor-command", "web", asked))
        assert "error" not in told, told

    def backup_is_served(self) -> bool:
        """Whether a scan has begun its backup to the end."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            try:
                (path,) = (self.host.directory / "b").glob("kvmla-*.sock")
                line.connect(str(path))
                NbdStream(os.dup(line.fileno()), "vda").close()
            except (OSError, ValueError, NbdFailed):
                return False
        return True

    def kill_qemu(self) -> None:
        """The machine is gone at once, as when its host loses its power."""
        (pid,) = (self.host.directory / "run" / "qemu").glob("web.pid")
        self.host.run("kill", "-9", pid.read_text().strip())
        end = time.monotonic() + DEADLINE
        while "shut off" not in self.host.virsh("domstate", "web"):
            assert time.monotonic() < end
            time.sleep(0.05)


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
    whole = lab.scan("--full", "--incremental")
    assert whole["bytes_read"] == whole["bytes"]
    assert "--incremental begins with a machine that runs" in whole["notes"][0]


def test_a_file_that_is_not_read_is_judged_anew(lab: Lab) -> None:
    """What was harmless at the last scan and is called malicious since is found, without a byte read."""
    lab.scan("--incremental")
    digest = hashlib.sha256(b"g" * len(EICAR)).hexdigest()
    words = ("verdicts", "set", digest, "--block", "--reason", "a test")
    program = [sys.executable, "-m", "appliance", *words, "--socket", f"{lab.svm.directory}/admin.sock"]
    subprocess.run(program, check=True, cwd=ROOT, timeout=60, capture_output=True)
    told = lab.scan()
    assert [found["path"] for found in told["found"]] == ["/etc/good"]
    assert (told["unchanged"], told["bytes_read"]) == (lab.files, 0)


def read_in_full(lab: Lab, why: str, *words: object) -> None:
    """A scan reads everything, and says why."""
    told = lab.scan(*words)
    assert (told["unchanged"], told["bytes_read"]) == (0, told["bytes"])
    assert re.search(why, "\n".join(told["notes"])), told["notes"]


def read_no_more(lab: Lab) -> None:
    """A scan after that reads nothing, and there is one checkpoint."""
    told = lab.scan()
    assert (told["notes"], told["unchanged"], told["bytes_read"]) == ([], lab.files, 0)
    assert len(lab.checkpoints()) == 1


def test_whatever_is_doubtful_is_read_and_the_report_says_why(lab: Lab) -> None:
    """A checkpoint deleted, a record damaged or gone, a bitmap gone, a killed QEMU."""
    lab.scan("--incremental")
    lab.host.virsh("checkpoint-delete", "web", *lab.checkpoints())
    read_in_full(lab, "the checkpoint of the last scan is not there any more")
    read_no_more(lab)
    (record,) = (lab.state / "scans").glob("*.scan")
    record.write_bytes(record.read_bytes()[:-1])
    read_in_full(lab, r"what was kept of the last scan is damaged \(its checksum is wrong\)")
    read_no_more(lab)
    record.unlink()
    read_in_full(lab, "nothing is kept of the scan that made the checkpoint")
    read_no_more(lab)
    lab.qemu("block-dirty-bitmap-remove", node=lab.node(), name=lab.checkpoints()[0])
    read_in_full(lab, "all is read: no backup of web can be begun: .*bitmap")
    read_no_more(lab)
    lab.kill_qemu()
    off = lab.scan()
    assert off["bytes_read"] == off["bytes"]
    assert "the image has not the dirty bitmap of the last scan" in off["notes"][0]
    lab.host.virsh("start", "web")
    read_in_full(lab, "all is read: no backup of web can be begun: .*bitmap")
    read_no_more(lab)


def test_full_reads_everything_and_takes_the_checkpoint_away(lab: Lab) -> None:
    """With --incremental it begins anew; others' checkpoints are left alone."""
    others = lab.directory / "others.xml"
    others.write_text("<domaincheckpoint><name>others</name></domaincheckpoint>")
    lab.host.virsh("checkpoint-create", "web", others)
    lab.scan("--incremental")
    read_in_full(lab, "", "--full", "--incremental")
    assert len(lab.checkpoints()) == 2
    read_in_full(lab, "", "--full")
    assert lab.checkpoints() == ["others"]
    assert list((lab.state / "scans").glob("*.scan")) == []
    read_in_full(lab, "")
    assert lab.checkpoints() == ["others"]


def test_what_lies_under_a_disk_that_is_another_is_read(lab: Lab) -> None:
    """A snapshot on top, then something written below; a raw disk beside it is read each time."""
    lab.scan("--incremental")
    lab.host.virsh("snapshot-create-as", "web", "s", "--disk-only", "--no-metadata", "--atomic")
    read_in_full(lab, "vda: all of it is read: it is another image than at the last scan")
    lab.scan()  # the old checkpoint was taken out of what lies under it now
    read_no_more(lab)
    lab.host.virsh("destroy", "web")
    lab.disk.touch()
    assert "vda: all of it is read: what lies under it is not what it was" in lab.scan()["notes"][0]
    lab.host.virsh("start", "web")
    read_in_full(lab, "vda: all of it is read: what lies under it is not what it was at the last scan")
    raw = empty(lab.host.directory / "second.raw", 1)
    lab.host.virsh("attach-disk", "web", raw, "vdb", "--subdriver", "raw")
    told = lab.scan()
    assert told["notes"] == [
        "vdb: all of it is read: its format is raw: only qcow2 keeps in mind what was written to"
    ]
    assert told["unchanged"] == lab.files


def test_a_scan_that_is_killed_leaves_nothing_in_the_way(lab: Lab) -> None:
    """The next one ends its backup, compares with the last good scan, and takes the stray checkpoint away."""
    lab.scan("--incremental")
    (lab.directory / "changed").write_bytes(EICAR.ljust(4096, b"\0"))
    lab.write(lab.place("/etc/good"), lab.directory / "changed")
    words = ("scan-image", "web", "--socket", f"{lab.svm.directory}/admin.sock", *lab.words)
    os.kill(lab.svm.process.pid, signal.SIGSTOP)  # so that the scan waits
    try:
        with subprocess.Popen([sys.executable, "-m", "appliance.hypervisor", *words], cwd=ROOT) as scanning:
            end = time.monotonic() + DEADLINE
            while not lab.backup_is_served():
                assert time.monotonic() < end
                time.sleep(0.05)
            assert len(lab.checkpoints()) == 2
            scanning.kill()
    finally:
        os.kill(lab.svm.process.pid, signal.SIGCONT)
    told = lab.scan()
    assert [found["path"] for found in told["found"]] == ["/etc/good"]
    assert (told["notes"], told["bytes_read"] < 100_000) == ([], True)
    assert len(lab.checkpoints()) == 1
    assert list((lab.host.directory / "b").iterdir()) == []


def test_without_a_directory_for_backups_a_machine_is_scanned_too(lab: Lab) -> None:
    """What is written meanwhile goes beside its disk, and is gone then."""
    (lab.directory / "svm-host.toml").write_text(f'state_dir = "{lab.state}"\n')
    words = ("scan-image", "web", "--json", "--incremental", "--config", lab.directory / "svm-host.toml")
    svm = ("--socket", lab.svm.directory / "admin.sock", "--connect", "qemu:///system")
    python = ("env", "-C", ROOT, f"PYTHONPATH={ROOT}:{ROOT}/protos", sys.executable)
    before = sorted(lab.disk.parent.iterdir())
    for read in (4_000_000, 0):
        ran = lab.host.run(*python, "-m", "appliance.hypervisor", *words, *svm)
        assert ran.returncode == 0, ran.stderr
        told = json.loads(ran.stdout)
        assert read <= told["bytes_read"] <= read + 100_000
    assert sorted(lab.disk.parent.iterdir()) == before


def test_a_machine_that_changes_its_state_meanwhile_is_told(lab: Lab) -> None:
    """One that was off and is started; one that ran and ended, was started anew, or went away."""
    with VirtHost.open(lab.host.uri) as host, ExitStack() as stack:
        machine = find_machine([host], "web")
        settings = HostSettings(lab.state, disks=DisksSettings(backup_dir=str(lab.host.directory / "b")))
        running = of_machine_running(machine, machine.disks(), settings, Wish(), stack)
        assert [look() for look in running.after] == [""]
        lab.host.virsh("destroy", "web")
        assert "the machine web ended, or was moved to another host, while" in running.after[0]()
        machine_off = find_machine([host], "web")
        off = of_machine_off(machine_off, machine_off.disks(), stack)
        assert [look() for look in off.after] == ["", ""]
        lab.host.virsh("start", "web")
        assert all("was started" in look() for look in off.after)
        assert "the machine web was started anew while it was read" in running.after[0]()
        lab.host.virsh("destroy", "web")
        lab.host.virsh("undefine", "web")
        assert (
            "it was moved to another host, or removed, while it was read; scan it there" in running.after[0]()
        )
