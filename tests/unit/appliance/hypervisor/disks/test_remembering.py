"""What is kept of scans of a machine, on libvirt's test host; with real checkpoints in tests/integration."""

from pathlib import Path

import pytest

from appliance.hypervisor.disks import records
from appliance.hypervisor.disks.comparing import Wish, records_path
from appliance.hypervisor.disks.records import base_of
from appliance.hypervisor.disks.remembering import Remembering
from appliance.hypervisor.disks.report import Report
from appliance.hypervisor.virt.backups import Since
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.machine import DiskSeen, Machine, find_machine
from tests.support.disk_images import converted, empty, overlay
from tests.support.full_disk import full_disk

KEEP = Wish(incremental=True)


@pytest.fixture
def disks(tmp_path: Path) -> list[DiskSeen]:
    """Of a machine: one that is followed, one that is not, one that is not read."""
    raw = empty(tmp_path / "a.raw", 1)
    image = converted(raw, tmp_path / "a.qcow2")
    return [DiskSeen("vda", image, "qcow2"), DiskSeen("vdb", raw), DiskSeen("vdc", None, why="no file")]


def machine_of(host: VirtHost) -> Machine:
    """The machine that runs there."""
    return find_machine([host], "test")


def scanned(machine: Machine, state: Path, disks: list[DiskSeen], *cuts: str) -> Remembering:
    """A scan that reads one file, and does not come to its end where `cuts` says why."""
    with Remembering(machine, state, "r", KEEP) as remembering:
        remembering.plan(disks)
        remembering.report = Report("test")
        remembering.record(b"k" * 32, b"d" * 32)
        for why in cuts:
            remembering.report.cut("", b"", why)
    return remembering


def test_only_who_asks_for_it_has_something_kept(tmp_path: Path, disks: list[DiskSeen]) -> None:
    """Without --incremental, and where nothing was kept before, there is no state at all."""
    with VirtHost.open("test:///default") as host:
        machine = machine_of(host)
        with Remembering(machine, tmp_path / "state", "r", Wish()) as remembering:
            assert remembering.plan(disks) == Since()
            assert remembering.track("vda") is None
        assert not (tmp_path / "state").exists()
        scanned(machine, tmp_path / "state", disks)
    base = base_of(records_path(tmp_path / "state", machine.uuid))
    assert [disk.target for disk in base.disks] == ["vda"]
    assert base.checkpoint.startswith("kvm-light-agent-")


def test_a_scan_that_did_not_come_to_its_end_is_not_kept(tmp_path: Path, disks: list[DiskSeen]) -> None:
    """What was kept before it stands."""
    with VirtHost.open("test:///default") as host:
        machine = machine_of(host)
        scanned(machine, tmp_path, disks, "interrupted")
        path = records_path(tmp_path, machine.uuid)
        assert not path.exists()
        scanned(machine, tmp_path, disks)
        before = path.read_bytes()
        scanned(machine, tmp_path, disks, "interrupted")
        assert path.read_bytes() == before
        remembering = Remembering(machine, tmp_path, "r", KEEP)
        remembering.__enter__()
        remembering.plan(disks)
        remembering.report = Report("test")
        remembering.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
        assert path.read_bytes() == before


def test_records_without_their_checkpoint_are_not_compared(tmp_path: Path, disks: list[DiskSeen]) -> None:
    """This host knows no checkpoints: somebody has taken it away."""
    with VirtHost.open("test:///default") as host:
        machine = machine_of(host)
        scanned(machine, tmp_path, disks)
        with Remembering(machine, tmp_path, "r", Wish()) as remembering:
            since = remembering.plan(disks)
        assert (since.checkpoint, since.of, since.follows) == ("", frozenset(), frozenset({"vda"}))
        assert remembering.kept is None
        assert remembering.notes == [
            "vdb: all of it is read: its format is raw: only qcow2 keeps in mind what was written to",
            "all is read: the checkpoint of the last scan is not there any more",
        ]


def test_full_takes_away_what_is_kept(tmp_path: Path, disks: list[DiskSeen]) -> None:
    """With --incremental it begins anew instead."""
    with VirtHost.open("test:///default") as host:
        machine = machine_of(host)
        scanned(machine, tmp_path, disks)
        with Remembering(machine, tmp_path, "r", Wish(incremental=True, full=True)) as remembering:
            assert remembering.plan(disks).new
        path = records_path(tmp_path, machine.uuid)
        assert path.exists()
        with Remembering(machine, tmp_path, "r", Wish(full=True)) as remembering:
            assert remembering.plan(disks) == Since()
        assert not path.exists()


def test_what_libvirt_refuses_is_noted(tmp_path: Path, disks: list[DiskSeen]) -> None:
    """A backup that cannot be compared, then one without a checkpoint."""
    with VirtHost.open("test:///default") as host:
        with Remembering(machine_of(host), tmp_path, "r", KEEP) as remembering:
            new = remembering.plan(disks).new
            assert remembering.not_compared("broken") == Since("", frozenset(), new, frozenset({"vda"}))
            assert remembering.track("vda") is not None
            assert remembering.not_kept("no checkpoints here") == Since()
            assert remembering.track("vda") is None
        assert remembering.notes[1:] == [
            "all is read: broken",
            "nothing is kept for the next scan: no checkpoints here",
        ]


@pytest.mark.parametrize(("named", "anywhere"), [(True, False), (False, True), (False, False)])
def test_a_disk_is_followed_as_far_as_it_is_read(tmp_path: Path, named: bool, anywhere: bool) -> None:
    """What lies under it elsewhere: where the definition names it, or the operator says that it is right."""
    (tmp_path / "golden").mkdir()
    base = converted(empty(tmp_path / "a.raw", 1), tmp_path / "golden" / "base.qcow2")
    (tmp_path / "clones").mkdir()
    top = overlay(base, tmp_path / "clones" / "top.qcow2", "qcow2")
    disk = DiskSeen("vda", top, "qcow2", below=(base,) if named else ())
    with VirtHost.open("test:///default") as host:
        wish = Wish(incremental=True, anywhere=anywhere)
        with Remembering(machine_of(host), tmp_path, "r", wish) as remembering:
            followed = remembering.plan([disk]).follows
        assert followed == ({"vda"} if named or anywhere else set())
        assert all("--backing-anywhere" in note for note in remembering.notes)
        assert bool(remembering.notes) is not bool(followed)


@pytest.mark.parametrize("at_once", [3, 1000])
def test_a_full_disk_costs_what_is_kept_and_not_the_scan(
    tmp_path: Path, disks: list[DiskSeen], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the scan or at its end, the report says once that nothing is kept."""
    monkeypatch.setattr(records, "_AT_ONCE", at_once)
    state = tmp_path / "state"
    with VirtHost.open("test:///default") as host:
        remembering = Remembering(machine_of(host), state, "r", KEEP)
        with full_disk(128), remembering:
            remembering.plan(disks)
            report = remembering.report = Report("test")
            report.notes += remembering.to_tell()
            for number in range(6):
                remembering.record(number.to_bytes(32), b"d" * 32)
    assert [note.partition(":")[0] for note in report.notes] == ["vdb", "nothing is kept for the next scan"]
    assert report.notes[1:] == remembering.notes[1:]
    assert list((state / "scans").iterdir()) == []
