"""The command line of scan-image; scans of real machines are in tests/hosts/test_scan_image.py."""

import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import libvirt
import pytest

from appliance.cli.console import Console
from appliance.hypervisor.cli.program import run
from appliance.hypervisor.cli.scan_image import _summary
from appliance.hypervisor.disks import progress
from appliance.hypervisor.disks.report import Report
from appliance.hypervisor.virt.connection import VirtHost
from tests.support.disk_images import empty, ext4
from tests.support.ksn_side_server import Terminal
from tests.support.svm import DEADLINE
from tests.support.svm_process import SvmProcess, svm_process


@pytest.fixture
def svm(tmp_path: Path) -> Iterator[SvmProcess]:
    """A real SVM."""
    (tmp_path / "svm").mkdir()
    with svm_process(tmp_path / "svm") as svm:
        yield svm


def svm_host(*words: object, err: io.StringIO | None = None) -> tuple[int, str, str]:
    """Run `svm-host scan-image`: exit code, output, errors. err: where those go."""
    out, err = io.StringIO(), err or io.StringIO()
    console = Console({}, out, err, lambda: 0.0, program="svm-host")
    code = run(("scan-image", *map(str, words)), console)
    return code, out.getvalue(), err.getvalue()


def test_without_an_svm_nothing_is_scanned(tmp_path: Path) -> None:
    """Neither where none is named, nor where none answers."""
    disk = empty(tmp_path / "disk.raw", 1)
    assert "no SVM is named" in svm_host(disk)[2]
    code, out, err = svm_host(disk, "--socket", tmp_path / "none")
    assert (code, out) == (2, "")
    assert "no SVM answers on" in err


def test_what_is_neither_a_file_nor_a_machine_is_a_sentence(tmp_path: Path) -> None:
    """A machine's format is in its definition."""
    where = ("--connect", "test:///default", "--socket", tmp_path / "none")
    assert "nobody: there is no such file, and no such machine" in svm_host("nobody", *where)[2]
    assert "--format is for files" in svm_host("test", "--format", "raw", *where)[2]


def test_what_has_the_form_of_a_uuid_is_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may put a file where the command is typed: ./UUID is the file."""
    uuid = "cccccccc-0000-4000-8000-000000000003"
    empty(tmp_path / uuid, 1)
    monkeypatch.chdir(tmp_path)
    where = ("--connect", "test:///default", "--socket", tmp_path / "none")
    assert f"no host has a machine with the UUID {uuid}" in svm_host(uuid, *where)[2]
    assert "no SVM answers on" in svm_host(f"./{uuid}", *where)[2]


def test_a_directory_hides_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no image."""
    (tmp_path / "nobody").mkdir()
    monkeypatch.chdir(tmp_path)
    where = ("--connect", "test:///default", "--socket", tmp_path / "none")
    assert "no host has a machine 'nobody'" in svm_host("nobody", *where)[2]


def test_a_machine_whose_backup_libvirt_cannot_make_is_a_sentence(tmp_path: Path) -> None:
    """The test host's machine runs and has no disks that anybody could read."""
    where = ("--connect", "test:///default", "--socket", tmp_path / "none")
    code, out, err = svm_host("test", *where)
    assert (code, out) == (2, "")
    assert err.startswith("svm-host: ")


def test_a_machine_of_another_host_is_a_sentence(tmp_path: Path) -> None:
    """No path of its disks is looked for here; of several hosts those that are here count."""
    code, out, err = svm_host("web", "--connect", "qemu+ssh://host/system", "--socket", tmp_path / "none")
    assert (code, out) == (2, "")
    assert "qemu+ssh://host/system: disks are read on the host that has them" in err
    (tmp_path / "h.toml").write_text('[libvirt]\nuri = ["qemu+ssh://host/system", "test:///default"]\n')
    err = svm_host("nobody", "--config", tmp_path / "h.toml", "--socket", tmp_path / "none")[2]
    assert "nobody: there is no such file, and no such machine" in err


def test_a_directory_does_not_hide_a_machine_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a file does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nobody").mkdir()
    where = ("--connect", "test:///default", "--socket", tmp_path / "none")
    assert "nobody: there is no such file, and no such machine" in svm_host("nobody", *where)[2]


def test_sums_that_no_disk_has_are_told_as_the_most_that_can_be() -> None:
    """What reads the disk may say what it likes: the SVM is told of the scan all the same."""
    report = Report("disk.raw", files=1, read=(1 << 64) + 5, problem_count=1 << 70)
    told = _summary(report)
    assert (told.files, told.bytes, told.unanswered) == (1, (1 << 64) - 1, (1 << 64) - 1)


MEGABYTES = 12
MACHINE = """<domain type='test'><name>off</name><memory>8192</memory><os><type>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{}'/><target dev='vda'/></disk>
</devices></domain>"""


def disk_of(directory: Path) -> Path:
    """A disk of 16 MiB, most of which is one file."""
    (directory / "tree").mkdir()
    (directory / "tree" / "file").write_bytes(os.urandom(MEGABYTES << 20))
    return ext4(directory / "tree", directory / "disk.raw", mib=16)


@contextmanager
def held_until(svm: SvmProcess, disk: Path, meanwhile: Callable[[], object]) -> Iterator[None]:
    """A scan of a disk from this process finds an SVM that waits, until something was done amid it."""

    def do() -> None:
        end = time.monotonic() + DEADLINE
        while not is_open(disk) and time.monotonic() < end:
            time.sleep(0.01)
        try:
            meanwhile()
        finally:
            svm.signal(signal.SIGCONT)

    svm.signal(signal.SIGSTOP)
    thread = threading.Thread(target=do)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def is_open(path: Path) -> bool:
    """Whether this process has a file open."""
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            if os.readlink(f"/proc/self/fd/{descriptor}") == str(path):
                return True
    return False


def test_a_machine_that_starts_while_it_is_scanned_is_not_passed_over(
    tmp_path: Path, svm: SvmProcess
) -> None:
    """The command says so and ends with 2; where it stays off all of it was looked at."""
    disk = disk_of(tmp_path)
    (tmp_path / "h.toml").write_text(f'state_dir = "{tmp_path}/state"\n')
    where = ("--connect", "test:///default", "--socket", svm.directory / "admin.sock")
    words = ("off", "--json", "--config", tmp_path / "h.toml", *where)
    with VirtHost.open("test:///default") as host:  # whose state all connections of a process share
        machine = host.connection.defineXML(MACHINE.format(disk))
        try:
            code, out, _ = svm_host(*words)
            assert (code, json.loads(out)["complete"], json.loads(out)["problems"]) == (0, True, [])
            with held_until(svm, disk, machine.create):
                code, out, err = svm_host(*words)
        finally:
            with suppress(libvirt.libvirtError):
                machine.destroy()
            machine.undefine()
    told = json.loads(out)
    assert (code, told["complete"], told["files"], err) == (2, False, 1, "")
    assert [problem["why"] for problem in told["problems"]] == [
        "the machine off was started while it was read: scan it again"
    ]


def test_a_person_at_a_terminal_sees_how_far_it_is(
    tmp_path: Path, svm: SvmProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a bar of what is read, which is taken away at the end; none where they want none."""
    monkeypatch.setattr(progress, "_REDRAW_SECONDS", 0.0)
    words = (disk_of(tmp_path), "--socket", svm.directory / "admin.sock")
    code, out, err = svm_host(*words, err=Terminal())
    assert (code, "1 files" in out) == (0, True)
    *drawn, last = err.split("\r\x1b[K")[1:]
    assert last == ""
    assert drawn[-1].startswith("[##############"), drawn
    assert f"{(MEGABYTES << 20) / 1e6:,.0f} MB of at most" in drawn[-1]
    assert svm_host(*words, "--no-progress", err=Terminal())[2] == ""
