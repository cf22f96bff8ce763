"""Scans of disks with a real program that reads, and an SVM that is made up."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from appliance.domain.outcome import Disposition, Unanswered
from appliance.hypervisor.disks.comparing import Comparison, track
from appliance.hypervisor.disks.progress import Progress
from appliance.hypervisor.disks.reader import DiskReader, find_sandbox
from appliance.hypervisor.disks.records import Base, Recording, opened
from appliance.hypervisor.disks.report import Report
from appliance.hypervisor.disks.said import VolumeSeen
from appliance.hypervisor.disks.scanning import DiskScan, Limits
from appliance.rpc.images_client import ContentGone, ImageAnswer, ImageContent
from tests.support.disk_images import converted, ext4, fat, partitioned, tool, write_tree

LIMITS = Limits(10_000, 1 << 30, 600)
BAD = hashlib.sha256(b"deep").digest()


class MadeUp:
    """An SVM that asks for every content once, calls one malicious, and has no room at first."""

    def __init__(self, busy: int = 0) -> None:
        self.sent = self.sent_bytes = 0
        self.known: set[bytes] = set()
        self.finds: list[bytes] = []
        self.asked = 0
        self._busy = busy

    async def check(
        self, digests: Sequence[bytes], content: Callable[[int], ImageContent | None]
    ) -> list[ImageAnswer]:
        """Answer."""
        if self._busy:
            self._busy -= 1
            return [ImageAnswer(int(Unanswered.OVERLOADED))] * len(digests)
        self.asked += len(digests)
        return [await self._one(digest, content(index)) for index, digest in enumerate(digests)]

    async def _one(self, digest: bytes, content: ImageContent | None) -> ImageAnswer:
        assert content is not None
        if digest not in self.known:
            try:
                data = b"".join([chunk async for chunk in content.chunks()])
            except ContentGone:
                return ImageAnswer(int(Unanswered.CHANGED))
            assert hashlib.sha256(data).digest() == digest
            self.sent += 1
            self.known.add(digest)
        bad = Disposition.MALICIOUS if digest == BAD else Disposition.NOT_DETECTED
        return ImageAnswer(int(bad), "Deep" if digest == BAD else "")

    async def find(self, sha256: bytes, path: bytes) -> None:
        """Keep it."""
        assert sha256 == BAD
        self.finds.append(path)


@contextmanager
def disk_of(image: Path) -> Iterator[int]:
    """A descriptor of it."""
    fd = os.open(image, os.O_RDONLY)
    yield fd
    os.close(fd)


async def scanned(image: Path, svm: MadeUp, limits: Limits = LIMITS, start: Any = DiskReader) -> Report:
    """What came of a scan."""
    report = Report(str(image))
    with disk_of(image) as fd:
        starting = partial(start, find_sandbox(), [fd])
        progress = Progress(io.StringIO(), lambda: 0.0)
        scan = DiskScan(starting, svm, report, limits, progress)
        await scan.run([[{"format": "raw", "fds": [fd], "extents": []}]])
    return report


class Again:
    """Scans of a qcow2 image, one after the other, compared with what the first one has kept."""

    def __init__(self, image: Path) -> None:
        self.image = image
        self.path = image.with_suffix(".scan")
        tool("qemu-img", "bitmap", "--add", image, "ours")

    async def scan(self, svm: MadeUp, bitmap: str) -> Report:
        """One. bitmap: "" for one whose records are kept."""
        report = Report(str(self.image))
        recording = Recording(self.path)
        with disk_of(self.image) as fd, ExitStack() as stack:
            kept = opened(self.path, stack) if bitmap else None
            fds = [fd] if kept is None else [fd, kept.fd]
            starting = partial(DiskReader, find_sandbox(), fds)
            progress = Progress(io.StringIO(), lambda: 0.0)
            scan = DiskScan(starting, svm, report, LIMITS, progress, recording.add)
            comparison = Comparison([track("vda", bitmap, fd)], kept)
            await scan.run([[{"format": "qcow2", "fds": [fd], "extents": []}]], comparison)
            if not bitmap:
                recording.finish(Base("ours", "r", ()))
        recording.close()
        return report


async def test_unchanged_files_are_asked_for_without_being_read(tmp_path: Path) -> None:
    """Those that were written to are; what the SVM has forgotten is sent to it all the same."""
    expected = write_tree(tmp_path / "tree")
    again = Again(converted(ext4(tmp_path / "tree", tmp_path / "raw"), tmp_path / "disk.qcow2"))
    svm = MadeUp()
    whole = await again.scan(svm, "")
    assert (whole.unchanged, whole.hashed) == (0, whole.read)
    second = await again.scan(svm, "ours")
    assert (second.files, second.unchanged, second.hashed) == (len(expected), len(expected), 0)
    assert [find.path for find in second.finds] == [b"/usr/deep/er/est/file"]
    assert second.notes == []
    forgetful = MadeUp()
    third = await again.scan(forgetful, "ours")
    assert (third.hashed, forgetful.sent) == (0, len(set(expected.values())))
    tool("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 32M", again.image)
    fourth = await again.scan(svm, "ours")
    assert (fourth.unchanged, fourth.files) == (0, 0)


async def test_without_its_bitmap_everything_is_read_and_that_is_noted(tmp_path: Path) -> None:
    """Empty files aside, which lie nowhere."""
    write_tree(tmp_path / "tree")
    again = Again(converted(ext4(tmp_path / "tree", tmp_path / "raw"), tmp_path / "disk.qcow2"))
    await again.scan(MadeUp(), "")
    report = await again.scan(MadeUp(), "another")
    assert report.notes == ["disk 1: all of it is read: the image has not the dirty bitmap of the last scan"]
    assert (report.hashed, report.unchanged_bytes) == (report.read, 0)


async def test_every_content_is_sent_once_and_what_is_found_has_its_path(tmp_path: Path) -> None:
    """The second scan sends nothing."""
    expected = write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image")
    svm = MadeUp(busy=1)
    report = await scanned(image, svm)
    assert report.files == len(expected)
    assert svm.sent == len(set(expected.values()))
    assert [find.path for find in report.finds] == [b"/usr/deep/er/est/file"]
    assert svm.finds == [b"disk: /usr/deep/er/est/file"]
    assert (report.exit_code, report.is_complete) == (1, True)
    again = await scanned(image, svm)
    assert (again.files, svm.sent) == (len(expected), len(set(expected.values())))


async def test_a_damaged_file_system_costs_itself_alone(tmp_path: Path) -> None:
    """The volumes beside it are looked at."""
    write_tree(tmp_path / "tree")
    broken = ext4(tmp_path / "tree", tmp_path / "broken")
    with broken.open("r+b") as file:
        file.seek(1024 + 32)
        file.write(bytes(8))  # blocks and inodes of a group
    disk = partitioned([broken, fat(tmp_path / "tree", tmp_path / "fat")], tmp_path / "disk")
    report = await scanned(disk, MadeUp())
    assert report.files > 100
    ((volume, _, why),) = report.problems
    assert volume == "disk, partition 1"
    assert "its file system (ext4) is damaged" in why


class Dying(DiskReader):
    """A program that dies when it is to walk the first volume."""

    async def walk(self, volume: int) -> None:
        """Die."""
        if volume == 0:
            self._process.kill()
        await super().walk(volume)


async def test_a_program_that_dies_is_started_anew_for_what_is_left(tmp_path: Path) -> None:
    """And the report says what it did not read."""
    write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "ext")
    disk = partitioned([image, image], tmp_path / "disk")
    report = await scanned(disk, MadeUp(), start=Dying)
    ((volume, _, why),) = report.problems
    assert volume == "disk, partition 1"
    assert "it was not read to its end: the program that reads it ended" in why
    assert report.files > 100


class Elsewhere(Dying):
    """One that dies so; the next finds other volumes."""

    runs = 0

    async def open(self, *asked: Any) -> list[VolumeSeen]:
        """At the second time without the first volume."""
        type(self).runs += 1
        return (await super().open(*asked))[self.runs - 1 :]


async def test_other_volumes_than_before_are_not_walked_by_their_old_numbers(tmp_path: Path) -> None:
    """The report says that what is left was not looked at."""
    write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "ext")
    report = await scanned(partitioned([image, image], tmp_path / "disk"), MadeUp(), start=Elsewhere)
    assert [volume for volume, _, _ in report.problems] == ["disk, partition 1", "all disks"]
    assert "finds other volumes than before" in report.problems[1][2]
    assert (report.files, report.is_complete) == (0, False)


async def test_a_file_that_is_damaged_is_told_with_its_path(tmp_path: Path) -> None:
    """The files beside it are looked at."""
    expected = write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image")
    tool("debugfs", "-w", "-R", "sif /usr/bin/large block[0] 0x1234", image)
    report = await scanned(image, MadeUp())
    assert [path for _, path, _ in report.problems] == [b"/usr/bin/large"]
    assert report.files == len(expected) - 1


async def test_the_time_for_a_scan_has_an_end(tmp_path: Path) -> None:
    """What was not reached is told."""
    write_tree(tmp_path / "tree")
    image = ext4(tmp_path / "tree", tmp_path / "image")
    report = await scanned(image, MadeUp(), Limits(10, 10, 0.001))
    assert "is over (disks.hours)" in report.problems[0][2]
