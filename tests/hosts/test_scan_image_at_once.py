"""Several `svm-host scan-image` at once, of machines that run: real libvirt and QEMU, and a real SVM."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.hypervisor.disks.source import of_backup
from appliance.hypervisor.virt.backups import backup
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.machine import find_machine
from tests.hosts.test_scan_image import define
from tests.support.disk_images import converted, ext4
from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.svm import DEADLINE
from tests.support.svm_process import ROOT, SvmProcess, svm_process

MACHINES = "vm-a", "vm-b"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[KvmHost]:
    """A host of two machines that run; each has on a disk vda one file, of its own name."""
    directory = Path(tempfile.mkdtemp(prefix="kh", dir="/tmp"))
    try:
        with kvm_host(directory / "h") as host:
            (host.directory / "b").mkdir()
            for name in MACHINES:
                (tmp_path / name).mkdir()
                (tmp_path / name / name).write_bytes(name.encode() * 1000)
                raw = ext4(tmp_path / name, tmp_path / f"{name}.raw")
                define(host, converted(raw, host.directory / f"{name}.qcow2"), name)
                host.virsh("start", name)
            yield host
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def svm(tmp_path: Path) -> Iterator[SvmProcess]:
    """A real SVM."""
    (tmp_path / "svm").mkdir()
    with svm_process(tmp_path / "svm") as svm:
        yield svm


def begun(svm: SvmProcess, host: KvmHost, state: Path, name: str) -> subprocess.Popen[str]:
    """A scan of a machine, which goes on."""
    settings = state.parent / "svm-host.toml"
    settings.write_text(f'state_dir = "{state}"\n[disks]\nbackup_dir = "{host.directory}/b"\n')
    words = ("scan-image", name, "--json", "--socket", f"{svm.directory}/admin.sock")
    where = ("--connect", host.uri, "--config", str(settings))
    return subprocess.Popen(
        [sys.executable, "-m", "appliance.hypervisor", *words, *where],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(scan: subprocess.Popen[str]) -> tuple[int, list[tuple[int, int]], str]:
    """Exit code, what the scan says of files and what was not looked at, and its errors."""
    out, err = scan.communicate(timeout=DEADLINE)
    told = [json.loads(out)] if out else []
    return scan.returncode, [(each["files"], each["not_looked_at"]) for each in told], err


def test_two_machines_at_once_are_each_read_by_their_own(
    tmp_path: Path, svm: SvmProcess, host: KvmHost
) -> None:
    """Though their disks have one name and their backups one directory; nothing is left there."""
    scans = [begun(svm, host, tmp_path / "state", name) for name in MACHINES]
    assert [ended(scan) for scan in scans] == [(0, [(1, 0)], "")] * 2
    assert list((host.directory / "b").iterdir()) == []
    with VirtHost.open(host.uri) as virt, ExitStack() as stack:
        machines = [find_machine([virt], name) for name in MACHINES]
        first, second = (
            stack.enter_context(backup(each, ["vda"], host.directory / "b")) for each in machines
        )
        assert first.socket != second.socket
        assert of_backup(machines[0], first, stack).problems == []
        ((target, why),) = of_backup(machines[0], second, stack).problems
        assert (target, f"the machine {machines[1].uuid} answers there" in why) == ("vda", True)


def test_of_two_scans_of_one_machine_the_second_is_refused(
    tmp_path: Path, svm: SvmProcess, host: KvmHost
) -> None:
    """At once, with who is at it; the first one comes to its end."""
    os.kill(svm.process.pid, signal.SIGSTOP)  # so that the first one waits
    try:
        first = begun(svm, host, tmp_path / "state", "vm-a")
        end = time.monotonic() + DEADLINE
        while not list((host.directory / "b").glob("*.sock")):
            assert time.monotonic() < end
            time.sleep(0.05)
        second = ended(begun(svm, host, tmp_path / "state", "vm-a"))
    finally:
        os.kill(svm.process.pid, signal.SIGCONT)
    assert second[:2] == (2, [])
    assert f"vm-a is scanned by another svm-host (process {first.pid}, since" in second[2]
    assert ended(first) == (0, [(1, 0)], "")


def test_what_is_not_its_own_a_scan_leaves_alone(host: KvmHost) -> None:
    """Another's backup that began when its own was over: it goes on."""
    (host.directory / "other.xml").write_text(
        f"<domainbackup mode='pull'><server transport='unix' socket='{host.directory}/other.sock'/>"
        "</domainbackup>"
    )
    with VirtHost.open(host.uri) as virt:
        machine = find_machine([virt], "vm-a")
        with backup(machine, ["vda"], host.directory / "b"):
            host.virsh("domjobabort", "vm-a")
            _until_no_job(host)
            host.virsh("backup-begin", "vm-a", host.directory / "other.xml")
    assert "other.sock" in host.virsh("backup-dumpxml", "vm-a")


def _until_no_job(host: KvmHost) -> None:
    end = time.monotonic() + DEADLINE
    while "None" not in host.virsh("domjobinfo", "vm-a"):
        assert time.monotonic() < end
        time.sleep(0.05)
