"""What a scan of a machine that runs reads is kept for the next one, together with a checkpoint of libvirt.

In this order, so that whatever is killed leaves records with their checkpoint: a new one begins with the
backup; when the scan is over its records replace those that were there; then every other checkpoint of this
program's is taken away. What a killed scan has left goes so at the end of the next.
"""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from appliance.hypervisor.disks.comparing import Wish, comparable, records_path, standings, track, usable
from appliance.hypervisor.disks.opening import Reach
from appliance.hypervisor.disks.records import Base, DiskKept, Kept, Recording
from appliance.hypervisor.disks.report import Report
from appliance.hypervisor.files import StateUnusable, remove_durably
from appliance.hypervisor.virt.backups import BITMAP, Since
from appliance.hypervisor.virt.checkpoints import delete_checkpoint, new_name, own_checkpoints
from appliance.hypervisor.virt.connection import VirtError
from appliance.hypervisor.virt.machine import DiskSeen, Machine

_GONE: Final = "all is read: the checkpoint of the last scan is not there any more"
_NOTHING: Final = "all is read: nothing is kept of the scan that made the checkpoint"


class Remembering:
    """For the length of a `with` around the backup. report: to be set once there is one.

    kept: of the last scan, where it counts. notes: why something is read that was read before.
    """

    def __init__(self, machine: Machine, state_dir: Path, reader: str, wish: Wish) -> None:
        """reader: versions of what reads disks."""
        self.report: Report | None = None
        self.kept: Kept | None = None
        self.notes: list[str] = []
        self._taken = 0  # of the notes, for the report
        self._machine = machine
        self._path = records_path(state_dir, machine.uuid)
        self._reader = reader
        self._wish = wish
        self._followed: dict[str, DiskKept] = {}
        self._compared: set[str] = set()
        self._checkpoint = ""
        self._recording: Recording | None = None
        self._stands = ""  # the checkpoint of the records that are on the disk
        self._stack = ExitStack()
        self._owns = False

    def __enter__(self) -> Self:
        """See whether something is kept, or is to be. It is within a `turn`, so that nobody else does."""
        self._owned = self._own()
        self._owns = self._wish.incremental or self._path.exists() or bool(self._owned)
        return self

    def _own(self) -> list[str]:
        try:
            return own_checkpoints(self._machine)
        except VirtError:  # this libvirt knows none
            return []

    def plan(self, disks: Sequence[DiskSeen]) -> Since:
        """What the backup is compared with, and which checkpoint begins with it. Raises StateUnusable."""
        if not self._owns or (self._wish.full and not self._wish.incremental):
            return Since()
        seen = [
            (disk.target, disk.path, disk.format, Reach(disk.below, self._wish.anywhere))
            for disk in disks
            if disk.path is not None
        ]
        self._followed = standings(seen, self._note)
        if not self._followed:
            return Since()
        self._recall()
        self._checkpoint = new_name()
        self._recording = Recording(self._path)
        since = self.kept.base.checkpoint if self.kept is not None else ""
        return Since(since, frozenset(self._compared), self._checkpoint, frozenset(self._followed))

    def _recall(self) -> None:
        """See what of the last scan counts. It stands until this scan is over, be it compared or not."""
        said = len(self.notes)
        kept = usable(self._path, self._reader, self._stack, self._note)
        if kept is None:
            if len(self.notes) == said and self._owned:
                self._note(_NOTHING)
            return
        if kept.base.checkpoint not in self._owned:
            self._note(_GONE)
            return
        self._stands = kept.base.checkpoint
        if self._wish.full:
            return
        self._compared = set(comparable(kept.base, self._followed, self._note))
        self.kept = kept if self._compared else None

    def not_compared(self, why: str) -> Since:
        """The backup cannot be compared with the last scan: what it is to be instead."""
        self._note(f"all is read: {why}")
        self.kept, self._compared = None, set()
        return Since("", frozenset(), self._checkpoint, frozenset(self._followed))

    def not_kept(self, why: str) -> Since:
        """There can be no checkpoint: nothing is kept of this scan."""
        self._note(f"nothing is kept for the next scan: {why}")
        self._drop()
        return Since()

    def track(self, target: str, fd: int = -1) -> dict[str, Any] | None:
        """As `disk-reader` is told of a disk of the backup. fd: of a connection for what was changed."""
        if target not in self._followed or self._recording is None:
            return None
        return track(target, BITMAP if target in self._compared else "", fd)

    def is_compared(self, target: str) -> bool:
        """Whether what was changed of a disk is asked."""
        return target in self._compared

    def record(self, layout: bytes, sha256: bytes) -> None:
        """Keep where a file lies and what it is."""
        if self._recording is not None:
            try:
                self._recording.add(layout, sha256)
            except StateUnusable as error:
                self.not_kept(str(error))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the new records stand, where the scan came to its end; take away what does not count."""
        with self._stack:
            if not self._owns:
                return
            try:
                self._settle(kind is None and self.report is not None and not self.report.is_cut)
            finally:
                self._drop()

    def _settle(self, is_whole: bool) -> None:
        if self._wish.full and not self._wish.incremental:
            self._stands = ""
            with suppress(StateUnusable):
                remove_durably(self._path)
        elif self._recording is not None and is_whole:
            base = Base(self._checkpoint, self._reader, tuple(self._followed.values()))
            try:
                self._recording.finish(base)
                self._stands = self._checkpoint
            except StateUnusable as error:
                self._note(f"nothing is kept for the next scan: {error}")
        for name in self._own():
            if name != self._stands:
                try:
                    delete_checkpoint(self._machine, name)
                except VirtError as error:
                    self._note(str(error))
        if self.report is not None:
            self.report.notes += self.to_tell()

    def to_tell(self) -> list[str]:
        """What is noted and was not taken yet, for the report."""
        new, self._taken = self.notes[self._taken :], len(self.notes)
        return new

    def _drop(self) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.close()

    def _note(self, sentence: str) -> None:
        self.notes.append(sentence)
