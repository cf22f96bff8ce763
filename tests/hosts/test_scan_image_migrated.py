"""`svm-host scan-image` of a machine that moves: two real hosts of virtual machines, and a real SVM."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.hypervisor.disks.comparing import Wish
from appliance.hypervisor.disks.running import of_machine_running
from appliance.hypervisor.settings import DisksSettings, HostSettings
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.machine import find_machine
from tests.hosts.test_scan_image import define, svm_host
from tests.support.disk_images import converted, ext4, write_tree
from tests.support.kvm_host import KvmHost, kvm_host
from tests.support.svm_process import svm_process


@pytest.fixture
def hosts() -> Iterator[tuple[KvmHost, KvmHost]]:
    """Two, that have their disks in common."""
    directory = Path(tempfile.mkdtemp(prefix="km", dir="/tmp"))
    try:
        with kvm_host(directory / "a") as one, kvm_host(directory / "b") as other:
            yield one, other
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def migrate(source: KvmHost, target: KvmHost) -> subprocess.CompletedProcess[str]:
    """Move the machine while it runs."""
    words = ("migrate", "--live", "--unsafe", "--undefinesource", "--persistent", "web", target.uri)
    at = f"unix://{source.directory.parent}/m.sock"
    return source.run("virsh", "--connect", "qemu:///system", *words, "--migrateuri", at)


def test_a_machine_that_moves_is_not_passed_over(tmp_path: Path, hosts: tuple[KvmHost, KvmHost]) -> None:
    """Not while its backup is read; at once behind it that is told; where it is now all of it is read."""
    one, other = hosts
    expected = write_tree(tmp_path / "tree")
    disk = converted(ext4(tmp_path / "tree", tmp_path / "raw"), one.directory.parent / "disk.qcow2")
    define(one, disk)
    one.virsh("start", "web")
    backups = one.directory.parent / "backups"
    backups.mkdir()
    (tmp_path / "svm-host.toml").write_text(
        f'state_dir = "{tmp_path}/state"\n[disks]\nbackup_dir = "{backups}"\n'
    )
    (tmp_path / "svm").mkdir()
    config = ("--config", tmp_path / "svm-host.toml")
    with svm_process(tmp_path / "svm") as svm:
        assert svm_host(svm, "web", "--incremental", "--connect", one.uri, *config)[0] == 0
        with VirtHost.open(one.uri) as host:
            machine = find_machine([host], "web")
            settings = HostSettings(tmp_path / "state", disks=DisksSettings(backup_dir=str(backups)))
            with ExitStack() as stack:
                source = of_machine_running(machine, machine.disks(), settings, Wish(), stack)
                refused = migrate(one, other)
                assert refused.returncode != 0
                assert "held by monitor=remoteDispatchDomainBackupBegin" in refused.stderr  # after 30 s
                assert source.after[0]() == ""
            assert migrate(one, other).returncode == 0
            assert "it was moved to another host, or removed, while it was read" in source.after[0]()
        code, _, err = svm_host(svm, "web", "--connect", one.uri, *config, good=False)
        assert code == 2
        assert "no host has a machine 'web'" in err
        code, told, _ = svm_host(svm, "web", "--connect", other.uri, *config)
        assert (code, told["files"], told["bytes_read"]) == (0, len(expected), told["bytes"])
        assert told["notes"] == ["all is read: the checkpoint of the last scan is not there any more"]
        assert svm_host(svm, "web", "--connect", other.uri, *config)[1]["unchanged"] == len(expected)
