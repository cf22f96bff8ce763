"""The disks of an SVM: files that stand for them, and loop devices where they are mounted."""

import subprocess
from pathlib import Path

import pytest

from appliance.first_boot.disks import STATE_LABEL, Disks, FirstBootError, is_blank


def machine(directory: Path, serials: dict[str, str], content: bytes = b"") -> Disks:
    """One with disks of 16 MiB with these serial numbers."""
    disks = Disks(directory / "dev", directory / "sys")
    disks.devices.mkdir()
    for name, serial in serials.items():
        (disks.sys / name).mkdir(parents=True)
        (disks.sys / name / "serial").write_text(serial)
        with (disks.devices / name).open("wb") as disk:
            disk.write(content)
            disk.truncate(16 << 20)
    return disks


@pytest.fixture(autouse=True)
def nothing_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disks of this machine are not looked at."""
    monkeypatch.setattr(Disks, "labelled", lambda self, labels: None)


def test_the_blank_disk_that_is_meant_gets_a_file_system(tmp_path: Path) -> None:
    """With the label by which it is found the next time."""
    disks = machine(tmp_path, {"vda": "svm-system", "vdb": "svm-state", "vdc": ""})
    found = disks.state()
    assert found.name == "vdb"
    said = subprocess.run(["blkid", "-p", found], check=True, capture_output=True, text=True).stdout
    assert f'LABEL="{STATE_LABEL}"' in said
    assert 'TYPE="ext4"' in said
    assert is_blank(disks.devices / "vda")


def test_a_disk_that_holds_something_is_not_written_over(tmp_path: Path) -> None:
    """Though its serial number is the right one."""
    disks = machine(tmp_path, {"vdb": "svm-state"}, b"somebody's")
    with pytest.raises(FirstBootError, match="nothing is written over"):
        disks.state()
    assert (disks.devices / "vdb").read_bytes().startswith(b"somebody's")


def test_without_a_disk_it_is_said_which_to_give(tmp_path: Path) -> None:
    """A blank one that is not meant does not count."""
    disks = machine(tmp_path, {"vdb": "another"})
    with pytest.raises(FirstBootError, match="the serial svm-state"):
        disks.state()
    assert is_blank(disks.devices / "vdb")


def test_what_stands_at_the_end_of_a_disk_counts_too(tmp_path: Path) -> None:
    """The second table of partitions, for example."""
    disk = tmp_path / "disk"
    with disk.open("wb") as made:
        made.truncate(16 << 20)
        made.seek(-10, 2)
        made.write(b"x")
    assert not is_blank(disk)
