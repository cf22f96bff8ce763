"""The command line of scan-image; real scans are in tests/hosts/test_scan_image.py."""

import io
from pathlib import Path

import pytest

from appliance.cli.console import Console
from appliance.hypervisor.cli.program import run
from appliance.hypervisor.cli.scan_image import _summary
from appliance.hypervisor.disks.report import Report
from tests.support.disk_images import empty


def svm_host(*words: object) -> tuple[int, str, str]:
    """Run `svm-host scan-image`: exit code, output, errors."""
    out, err = io.StringIO(), io.StringIO()
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
