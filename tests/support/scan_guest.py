"""A guest by hand that is told of ordered scans and of slots, and says how they stand."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from lightagent.v1 import guest_pb2

from tests.support.svm import DEADLINE, RawGuest, Reachable, StreamEnded, next_message, say, until

WAITING, RUNNING, DONE, INCOMPLETE, CANCELLED = (
    guest_pb2.SCAN_STATE_WAITING,
    guest_pb2.SCAN_STATE_RUNNING,
    guest_pb2.SCAN_STATE_DONE,
    guest_pb2.SCAN_STATE_INCOMPLETE,
    guest_pb2.SCAN_STATE_CANCELLED,
)


@dataclass(eq=False)
class ScanGuest:
    """What it was told: tasks by id, the slots that it has, and how its Attach ended."""

    raw: RawGuest
    tasks: dict[bytes, guest_pb2.ScanTask] = field(default_factory=dict)
    told: list[guest_pb2.AttachReply] = field(default_factory=list)
    slots: dict[bytes, bool] = field(default_factory=dict)
    ended: StreamEnded | None = None

    @classmethod
    @asynccontextmanager
    async def connect(cls, svm: Reachable, daemon: bool = True) -> AsyncIterator["ScanGuest"]:
        """A guest that is attached, and listens."""
        async with RawGuest.connect(svm, attach=False) as raw, cls.attached(raw, daemon) as guest:
            yield guest

    @classmethod
    @asynccontextmanager
    async def attached(cls, raw: RawGuest, daemon: bool = True) -> AsyncIterator["ScanGuest"]:
        """The same of a connection that there is."""
        program = guest_pb2.GUEST_PROGRAM_DAEMON if daemon else guest_pb2.GUEST_PROGRAM_UNSPECIFIED
        await raw.say_hello(program)
        guest = cls(raw)
        listening = asyncio.get_running_loop().create_task(guest._listen())
        try:
            yield guest
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            while isinstance(message := await self._next(), guest_pb2.AttachReply):
                self.told.append(message)
                if message.WhichOneof("message") == "scan_task":
                    self.tasks[message.scan_task.scan] = message.scan_task
                elif message.WhichOneof("message") == "scan_slot":
                    self.slots[message.scan_slot.scan] = message.scan_slot.granted
        except StreamEnded as ended:
            self.ended = ended

    async def _next(self) -> object:
        while True:
            with suppress(TimeoutError):
                return await next_message(self.raw.attach)

    async def status(self, scan: bytes, state: guest_pb2.ScanState.ValueType, **more: Any) -> None:
        """Say how a scan stands."""
        status = guest_pb2.ScanStatus(scan=scan, state=state, **more)
        await say(self.raw.attach, guest_pb2.AttachRequest(scan=status))

    async def task(self, number: int = 1) -> bytes:
        """Wait until so many tasks were told; the last one's id."""
        await until(lambda: len(self.tasks) >= number, f"{number} scans are ordered")
        return list(self.tasks)[-1]

    async def has_slot(self, scan: bytes, granted: bool = True) -> None:
        """Wait until a scan has a slot, or has it no more."""
        await until(lambda: self.slots.get(scan) is granted, f"the slot is {'given' if granted else 'taken'}")

    async def refused(self) -> StreamEnded:
        """Wait until the SVM ends the Attach; how."""
        await until(lambda: self.ended is not None, "the SVM ends the Attach")
        assert self.ended is not None
        return self.ended


def new_scan() -> bytes:
    """An id as a guest draws it."""
    return os.urandom(16)


__all__ = [
    "CANCELLED",
    "DEADLINE",
    "DONE",
    "INCOMPLETE",
    "RUNNING",
    "WAITING",
    "ScanGuest",
    "new_scan",
]
