"""What is scanned, before and after."""

import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from appliance.hypervisor.disks.comparing import Note, Recall, records_path, usable
from appliance.hypervisor.disks.headers import BadImage
from appliance.hypervisor.disks.opening import Reach
from appliance.hypervisor.disks.progress import Progress
from appliance.hypervisor.disks.reader import ReaderEnded, find_sandbox
from appliance.hypervisor.disks.records import Base, Kept, Recording
from appliance.hypervisor.disks.report import Report
from appliance.hypervisor.disks.scanning import DiskScan
from appliance.hypervisor.disks.source import of_backup, of_file
from appliance.hypervisor.disks.standing import standing_of
from appliance.hypervisor.virt.backups import Backup
from appliance.hypervisor.virt.connection import VirtHost
from appliance.hypervisor.virt.machine import find_machine
from tests.support.disk_images import converted, empty, ext4, overlay, partitioned, write_tree
from tests.unit.appliance.hypervisor.disks.test_in_use import wait_until
from tests.unit.appliance.hypervisor.disks.test_scanning import LIMITS, Dying, MadeUp


def test_an_image_that_is_written_to_meanwhile_is_told(tmp_path: Path) -> None:
    """Nothing that was read of it is passed over in silence."""
    image = converted(empty(tmp_path / "a.raw", 1), tmp_path / "a.qcow2")
    with ExitStack() as stack:
        source = of_file(image, "", stack)
        assert [look() for look in source.after] == [""]
        os.utime(image)
        (wrong,) = [look() for look in source.after]
        assert "it was written to while it was read" in wrong


def test_an_image_that_a_machine_writes_to_is_refused(tmp_path: Path) -> None:
    """The sentence says what to do instead; so it does when one starts meanwhile."""
    image = converted(empty(tmp_path / "a.raw", 1), tmp_path / "a.qcow2")
    words = ["qemu-nbd", "-f", "qcow2", "-t", "-k", str(tmp_path / "socket"), str(image)]
    with ExitStack() as stack:
        before = of_file(image, "", stack)
        with subprocess.Popen(words) as writing:
            try:
                wait_until(lambda: before.after[0]() != "")
                with pytest.raises(BadImage, match="a running machine writes to it: name the machine"):
                    of_file(image, "", stack)
                assert "a machine was started meanwhile" in before.after[0]()
            finally:
                writing.kill()


def test_a_format_that_was_guessed_is_told(tmp_path: Path) -> None:
    """It may be what a guest has written."""
    image = converted(empty(tmp_path / "a.raw", 1), tmp_path / "a.qcow2").rename(tmp_path / "a.img")
    with ExitStack() as stack:
        assert "taken for qcow2 by its first bytes" in of_file(image, "", stack).notes[0]


def test_an_image_is_compared_as_far_as_it_is_read(tmp_path: Path) -> None:
    """What lies under it elsewhere, where the operator says that it is right."""
    (tmp_path / "golden").mkdir()
    base = converted(empty(tmp_path / "a.raw", 1), tmp_path / "golden" / "base.qcow2")
    (tmp_path / "clones").mkdir()
    top = overlay(base, tmp_path / "clones" / "top.qcow2", "qcow2")
    anywhere = Reach(anywhere=True)
    recording = Recording(records_path(tmp_path, "some"))
    recording.finish(Base("kvm-light-agent-1", "r", (standing_of("vda", top, "qcow2", anywhere),)))
    recording.close()
    with ExitStack() as stack:
        source = of_file(top, "qcow2", stack, anywhere, Recall(tmp_path, "r"))
        assert (source.comparison.tracks[0] is not None, source.notes) == (True, [])


class _Replaced(Recall):
    """Another scan replaces what is kept between the looking for it and the opening."""

    def of_file(self, image: Path, stack: ExitStack, note: Note) -> Kept | None:
        """What that scan has kept."""
        path = records_path(self.state_dir, "some")
        recording = Recording(path)
        recording.finish(Base("kvm-light-agent-1", self.reader, ()))
        recording.close()
        return usable(path, self.reader, stack, note)


def test_what_another_scan_has_replaced_meanwhile_is_not_compared(tmp_path: Path) -> None:
    """All is read."""
    image = converted(empty(tmp_path / "a.raw", 1), tmp_path / "a.qcow2")
    with ExitStack() as stack:
        source = of_file(image, "", stack, recall=_Replaced(tmp_path, "r"))
        assert (len(source.disks), source.comparison.tracks) == (1, [None])


@contextmanager
def nbd_server(disk: Path, served: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serves a raw disk as a backup does, on the socket `served`."""
    words = ["qemu-nbd", "-r", "-f", "raw", "-t", "-e", "4", "-x", "vda", "-k", str(served), str(disk)]
    with subprocess.Popen(words) as process:
        try:
            wait_until(served.exists)
            yield process
        finally:
            process.kill()


async def test_a_reader_that_dies_costs_a_running_machine_one_volume(tmp_path: Path) -> None:
    """The next one has connections of its own; where nobody serves any more, that is the sentence."""
    write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "ext")
    disk = partitioned([image, image], tmp_path / "disk")
    served = tmp_path / "socket"
    with ExitStack() as stack:
        machine = find_machine([stack.enter_context(VirtHost.open("test:///default"))], "test")
        serving = stack.enter_context(nbd_server(disk, served))
        source = of_backup(machine, Backup(served, ("vda",)), stack)
        starting = source.anew(partial(Dying, find_sandbox(), source.fds))
        report = Report("test")
        scan = DiskScan(starting, MadeUp(), report, LIMITS, Progress(io.StringIO(), lambda: 0.0))
        await scan.run(source.disks, source.comparison)
        assert [volume for volume, _, _ in report.problems] == ["disk, partition 1"]
        assert report.files > 100
        serving.kill()
        serving.wait()
        with pytest.raises(ReaderEnded, match="QEMU serves its backup no more"):
            starting()
