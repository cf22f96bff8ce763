"""The scan of disks: volume by volume, digests first, content only of what the SVM does not know.

When the program that reads ends in the middle of a volume, another is started for the volumes behind it: one
file system that breaks it costs what was left of that one, and the report says so.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from appliance.disk_reader.protocol import BATCHES_KEPT
from appliance.domain.outcome import Disposition, Unanswered
from appliance.hypervisor.disks.comparing import Comparison
from appliance.hypervisor.disks.progress import Progress
from appliance.hypervisor.disks.reader import AnswerFailed, DiskReader, ReaderEnded
from appliance.hypervisor.disks.report import Report
from appliance.hypervisor.disks.said import FileSeen, VolumeSeen
from appliance.rpc.images_client import ContentGone, ImageAnswer, ImageContent, first_of

_BATCHES_AT_ONCE: Final = BATCHES_KEPT - 4  # whose files may still be asked for
MAX_ASKS: Final = 6
_FIRST_PAUSE_SECONDS: Final = 0.25  # before asking again; doubles each time
_ANSWERS_KEPT: Final = 500_000
_AGAIN: Final = (int(Unanswered.OVERLOADED),)
_DETECTIONS: Final = (int(Disposition.MALICIOUS), int(Disposition.SUSPICIOUS))
_OTHERS: Final = "the program that reads was started anew, and finds other volumes than before: scan it again"


Disks = Sequence[Sequence[dict[str, Any]]]  # each layer as `disk-reader` is told of it


class Asked(Protocol):
    """The SVM. `ImageClient` is it."""

    sent: int
    sent_bytes: int

    async def check(
        self, digests: Sequence[bytes], content: Callable[[int], ImageContent | None]
    ) -> list[ImageAnswer]:
        """What is known of digests, once all are settled."""

    async def find(self, sha256: bytes, path: bytes) -> None:
        """Tell of a detection."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read. files: of one volume. file_bytes: of one file. seconds: of all of it."""

    files: int
    file_bytes: int
    seconds: float


class DiskScan:
    """One scan. report: filled as it goes."""

    def __init__(
        self,
        start: Callable[[], DiskReader],
        svm: Asked,
        report: Report,
        limits: Limits,
        progress: Progress,
        record: Callable[[bytes, bytes], None] = lambda _layout, _sha256: None,
    ) -> None:
        """start: makes a program that reads; it is entered here. record: keeps a layout and its SHA-256."""
        self._start = start
        self._svm = svm
        self._report = report
        self._limits = limits
        self._progress = progress
        self._record = record
        self._comparison: Comparison | None = None
        self._answers: OrderedDict[bytes, ImageAnswer] = OrderedDict()
        self._read = 0

    async def run(self, disks: Disks, comparison: Comparison | None = None) -> None:
        """Scan disks, as `disk-reader` is told of them. Raises AdminError where the SVM is not there."""
        self._comparison = comparison
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._volumes(disks)
        except TimeoutError:
            hours = self._limits.seconds / 3600
            self._report.cut("all disks", b"", f"the time for a scan, {hours:g} h, is over (disks.hours)")
        finally:
            self._report.sent, self._report.sent_bytes = self._svm.sent, self._svm.sent_bytes

    async def _volumes(self, disks: Disks) -> None:
        left: list[VolumeSeen] | None = None
        first: list[VolumeSeen] = []
        while left is None or left:
            try:
                async with self._start() as reader:
                    found = await reader.open(
                        disks, self._limits.files, self._limits.file_bytes, self._comparison
                    )
                    if left is None:
                        first, left = found, self._told(found, reader.unknown_changes)
                    elif found != first:  # then their numbers mean something else
                        self._report.cut("all disks", b"", _OTHERS)
                        return
                    while left:
                        await self._volume(reader, left[0])
                        left.pop(0)
            except (ReaderEnded, AnswerFailed) as error:
                if not left:
                    self._report.cut("all disks", b"", str(error))
                    return
                self._report.cut(left.pop(0).name, b"/", f"it was not read to its end: {error}")

    def _told(self, found: Sequence[VolumeSeen], unknown: Sequence[str]) -> list[VolumeSeen]:
        """Report what the disks have; which volumes are read."""
        for number, why in enumerate(unknown, 1):
            if why:
                self._report.note(f"disk {number}: all of it is read: {why}")
        for volume in found:
            self._report.volume(volume)
        read = [volume for volume in found if volume.kind]
        self._progress.whole = sum(volume.size for volume in read)
        return read

    async def _volume(self, reader: DiskReader, volume: VolumeSeen) -> None:
        """Look at the files of a volume. Raises ReaderEnded; AdminError where the SVM is not there."""
        try:
            await reader.walk(volume.number)
        except AnswerFailed as error:
            self._report.problem(volume.name, b"/", f"its file system ({volume.kind}) is damaged: {error}")
            return
        room = asyncio.Semaphore(_BATCHES_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                is_last = False
                while not is_last:
                    batch = await reader.batch()
                    is_last = batch.is_last
                    self._read += batch.bytes
                    self._report.hashed = self._read + reader.busy_bytes
                    for path, sentence in batch.problems:
                        self._report.problem(volume.name, path, sentence)
                    self._progress.show(self._report, self._read)
                    await room.acquire()
                    judging = group.create_task(self._judge(reader, volume.name, batch.files))
                    judging.add_done_callback(lambda _: room.release())
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None

    async def _judge(self, reader: DiskReader, volume: str, files: Sequence[FileSeen]) -> None:
        """Have each file settled and told."""
        unknown = {file.sha256: file for file in files if file.sha256 not in self._answers}
        answers = {file.sha256: self._answers[file.sha256] for file in files if file.sha256 in self._answers}
        self._report.asked += len(unknown)
        for attempt in range(MAX_ASKS):
            if not unknown:
                break
            if attempt:
                await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            asked = list(unknown.values())
            digests = [file.sha256 for file in asked]
            said = await self._svm.check(digests, partial(self._content, reader, asked))
            answers.update(zip(digests, said, strict=True))
            unknown = {file.sha256: file for file in asked if answers[file.sha256].outcome in _AGAIN}
        self._remember(answers)
        for file in files:
            answer = answers[file.sha256]
            self._report.file(volume, file, answer)
            if file.layout is not None and answer.outcome != Unanswered.CHANGED:
                self._record(file.layout, file.sha256)
            if answer.outcome in _DETECTIONS:
                await self._svm.find(file.sha256, f"{volume}: ".encode() + file.path)
        self._report.sent = self._svm.sent

    def _remember(self, answers: Mapping[bytes, ImageAnswer]) -> None:
        """Keep answers for files with the same content; the oldest go when there are too many."""
        for digest, answer in answers.items():
            self._answers[digest] = answer
        while len(self._answers) > _ANSWERS_KEPT:
            self._answers.popitem(last=False)

    def _content(self, reader: DiskReader, files: Sequence[FileSeen], index: int) -> ImageContent:
        file = files[index]
        name = file.path.rsplit(b"/", 1)[-1]
        return ImageContent(file.sha256, file.size, name, partial(_bytes_of, reader, file.number))


async def _bytes_of(reader: DiskReader, file: int) -> AsyncGenerator[bytes]:
    """The bytes of a file. Raises ContentGone."""
    try:
        async with aclosing(reader.content(file)) as chunks:
            async for chunk in chunks:
                yield chunk
    except (AnswerFailed, ReaderEnded) as error:
        raise ContentGone(str(error)) from error
