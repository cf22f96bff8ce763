"""Which records count, and for which disks."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.hypervisor.disks.chain import BESIDE
from appliance.hypervisor.disks.comparing import (
    Comparison,
    Recall,
    comparable,
    records_of_file,
    records_path,
    standings,
    track,
)
from appliance.hypervisor.disks.records import Base, DiskKept, Kept, Recording
from appliance.hypervisor.files import StateUnusable
from tests.support.disk_images import converted, empty

UUID = "3b2a7c2e-0000-4000-8000-000000000001"


def keep(state: Path, *disks: DiskKept, reader: str = "r", uuid: str = UUID) -> Path:
    """Keep a record of some disks."""
    path = records_path(state, uuid)
    recording = Recording(path)
    recording.add(bytes(32), bytes(32))
    recording.finish(Base("kvm-light-agent-1", reader, disks))
    recording.close()
    return path


def recalled(state: Path, reader: str = "r") -> tuple[Kept | None, list[str]]:
    """What counts, and what is said."""
    notes: list[str] = []
    with ExitStack() as stack:
        return Recall(state, reader).of_machine(UUID, stack, notes.append), notes


def test_what_is_kept_counts_until_something_is_doubtful(tmp_path: Path) -> None:
    """Nothing there; good; read by another version; damaged."""
    assert recalled(tmp_path) == (None, [])
    path = keep(tmp_path)
    kept, notes = recalled(tmp_path)
    assert kept is not None
    assert (kept.count, notes) == (1, [])
    other = "all is read: the program that reads disks is of another version than at the last scan"
    assert recalled(tmp_path, "s") == (None, [other])
    path.write_bytes(path.read_bytes()[:-1])
    damaged = "all is read: what was kept of the last scan is damaged (its checksum is wrong)"
    assert recalled(tmp_path) == (None, [damaged])
    path.unlink()
    path.mkdir()
    with pytest.raises(StateUnusable):
        recalled(tmp_path)


def test_an_image_is_found_as_the_disk_of_a_machine(tmp_path: Path) -> None:
    """By its place, through links; beside files that are damaged."""
    image = tmp_path / "a.qcow2"
    path = keep(tmp_path, DiskKept("vda", str(image)))
    keep(tmp_path, DiskKept("vda", "/other"), uuid="other")
    (tmp_path / "scans" / "0.scan").write_bytes(b"x")
    (tmp_path / "link").symlink_to(image)
    assert records_of_file(tmp_path, tmp_path / "link") == path
    assert records_of_file(tmp_path, tmp_path / "b.qcow2") is None
    older = keep(tmp_path, DiskKept("vda", str(image)), uuid="1")
    os.utime(older, ns=(1, 1))
    assert records_of_file(tmp_path, image) == path
    with ExitStack() as stack:
        assert Recall(tmp_path, "r").of_file(image, stack, print) is not None
        assert Recall(tmp_path, "r").of_file(tmp_path / "b.qcow2", stack, print) is None


def test_each_disk_is_compared_by_itself(tmp_path: Path) -> None:
    """What is said names it."""
    raw = empty(tmp_path / "a.raw", 1)
    image = converted(raw, tmp_path / "a.qcow2")
    notes: list[str] = []
    disks = [("vda", image, "qcow2", BESIDE), ("vdb", raw, "raw", BESIDE), ("vdc", image, "qcow2", BESIDE)]
    now = standings(disks, notes.append)
    assert set(now) == {"vda", "vdc"}
    base = Base("c", "r", (DiskKept("vda", str(image)),))
    assert list(comparable(base, now, notes.append)) == ["vda"]
    assert [note.split(":")[0] for note in notes] == ["vdb", "vdc"]
    assert all(": all of it is read: " in note for note in notes)


def test_a_disk_has_one_number_at_each_scan() -> None:
    """By its name in the machine, whatever others there are."""
    assert track("vda")["number"] == track("vda", "b", 5)["number"] != track("vdb")["number"]
    assert Comparison([track("vda"), None]).told()["base"] is None
