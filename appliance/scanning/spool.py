"""Contents on their way from guests to the engines: sealed memory files within fixed bounds.

Room is reserved for a whole content before its first byte is taken. When there is none, it goes to the
guest that has least; one that waits because of its own share stands in nobody's way.
"""

import asyncio
import fcntl
import hashlib
import os
from collections import deque
from typing import Final

MAX_WAITING_PER_GUEST: Final = 64
_MAX_FILES = 2048  # bounds descriptors: a content takes at least this part of the spool
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class TooLargeForSpool(Exception):
    """The content can never fit: over the limit of a file, of a guest's share or of the spool."""


class SpoolBusy(Exception):
    """No room came free in time, or the machine itself ran out of memory or descriptors."""


class TooMuchContent(Exception):
    """More bytes came than were said."""


class _Waiting:
    """A reservation that waits: granted when `room` has a result."""

    __slots__ = ("charge", "guest_id", "room")

    def __init__(self, guest_id: str, charge: int, room: asyncio.Future[None]) -> None:
        self.guest_id = guest_id
        self.charge = charge
        self.room = room


class Spool:
    """The room that all uploads share. Lives on one event loop."""

    def __init__(self, total_bytes: int, file_bytes: int, guest_bytes: int) -> None:
        """total_bytes: for all contents together. file_bytes: for one. guest_bytes: for one guest's."""
        self._total = total_bytes
        self._file = min(file_bytes, guest_bytes, total_bytes)
        self._guest = min(guest_bytes, total_bytes)
        self._floor = max(1, total_bytes // _MAX_FILES)
        self._used = 0
        self._used_by: dict[str, int] = {}
        self._waiting: deque[_Waiting] = deque()

    @property
    def used_bytes(self) -> int:
        """Room that is reserved now; a small content counts as 1/2048 of the spool."""
        return self._used

    @property
    def waiting(self) -> int:
        """Reservations that wait for room."""
        return len(self._waiting)

    def reserve_now(self, guest_id: str, size: int) -> "SpoolFile | None":
        """Return a file with room for `size` bytes, None where that has to be waited for.

        Raises TooLargeForSpool, and SpoolBusy where the machine has no memory file to give.
        """
        charge = self._charge(size)
        if self._waiting or not self._fits(guest_id, charge):
            return None
        self._take(guest_id, charge)
        return self._file_of(guest_id, size, charge)

    async def reserve(self, guest_id: str, size: int, deadline_seconds: float) -> "SpoolFile":
        """Return a file with room for `size` bytes, as soon as there is room.

        Raises TooLargeForSpool where that can never be, and SpoolBusy when it has not come to be
        within the deadline or too many reservations of this guest wait already.
        """
        charge = self._charge(size)
        if self._waiting or not self._fits(guest_id, charge):
            await self._wait(guest_id, charge, deadline_seconds)
        else:
            self._take(guest_id, charge)
        return self._file_of(guest_id, size, charge)

    def _charge(self, size: int) -> int:
        """What a content takes of the spool. Raises TooLargeForSpool."""
        if size > self._file:
            raise TooLargeForSpool(f"{size} bytes are over the limit of {self._file} bytes for one file")
        return max(size, self._floor)

    def _file_of(self, guest_id: str, size: int, charge: int) -> "SpoolFile":
        """A file for room that was taken. Raises SpoolBusy, and then the room is given back."""
        try:
            fd = os.memfd_create("content", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:
            self._give_back(guest_id, charge)
            raise SpoolBusy(f"no memory file to be had: {error.strerror}; send it again later") from error
        return SpoolFile(self, guest_id, (size, charge), fd)

    async def _wait(self, guest_id: str, charge: int, deadline_seconds: float) -> None:
        """Return once `charge` is taken for the guest."""
        if sum(waiting.guest_id == guest_id for waiting in self._waiting) >= MAX_WAITING_PER_GUEST:
            raise SpoolBusy(f"{MAX_WAITING_PER_GUEST} uploads of this guest wait for room already")
        waiting = _Waiting(guest_id, charge, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._grant()  # it may only be others' shares that are spent
        try:
            async with asyncio.timeout(deadline_seconds):
                await waiting.room
        except BaseException as error:
            self._withdraw(waiting)
            if isinstance(error, TimeoutError):
                raise SpoolBusy(
                    f"no room for the content within {deadline_seconds:g} s: send it again later"
                ) from None
            raise

    def _withdraw(self, waiting: _Waiting) -> None:
        """Undo a reservation whose caller has gone, whether it was granted yet or not."""
        if waiting.room.done() and not waiting.room.cancelled():
            self._give_back(waiting.guest_id, waiting.charge)
        elif waiting in self._waiting:
            self._waiting.remove(waiting)
            self._grant()

    def _fits(self, guest_id: str, charge: int) -> bool:
        return self._within_share(guest_id, charge) and self._used + charge <= self._total

    def _within_share(self, guest_id: str, charge: int) -> bool:
        return self._used_by.get(guest_id, 0) + charge <= self._guest

    def _take(self, guest_id: str, charge: int) -> None:
        self._used += charge
        self._used_by[guest_id] = self._used_by.get(guest_id, 0) + charge

    def _give_back(self, guest_id: str, charge: int) -> None:
        self._used -= charge
        left = self._used_by[guest_id] - charge
        if left:
            self._used_by[guest_id] = left
        else:
            del self._used_by[guest_id]
        self._grant()

    def _grant(self) -> None:
        """Give room to those who wait: first to the guest that has least, each guest's in its own order.

        So guests that take much again and again do not keep out one that takes little. Who is next and
        lacks only room in the whole stops the round, so a large content is not overtaken for ever; who
        has spent its own share is passed over.
        """
        if not self._waiting:
            return
        queues: dict[str, deque[_Waiting]] = {}
        for waiting in self._waiting:
            if not waiting.room.done():  # else its caller was cancelled just now
                queues.setdefault(waiting.guest_id, deque()).append(waiting)
        while queues:
            guest_id = min(queues, key=lambda name: self._used_by.get(name, 0))
            first = queues[guest_id][0]
            if not self._within_share(guest_id, first.charge):
                del queues[guest_id]
                continue
            if self._used + first.charge > self._total:
                break
            self._take(guest_id, first.charge)
            first.room.set_result(None)
            queues[guest_id].popleft()
            if not queues[guest_id]:
                del queues[guest_id]
        self._waiting = deque(waiting for waiting in self._waiting if not waiting.room.done())


class SpoolFile:
    """One content: written as it arrives, hashed on the way, sealed when whole.

    fd: a memory file, readable by /proc/self/fd/N of whoever it is passed to; unwritable by
    anybody once sealed. size: the bytes that were said. received: those that came. guest_id: who sends it.
    """

    __slots__ = ("_charge", "_open", "_sha256", "_spool", "fd", "guest_id", "received", "size")

    def __init__(self, spool: Spool, guest_id: str, sizes: tuple[int, int], fd: int) -> None:
        """sizes: the bytes that were said, and those that the spool counts."""
        self.size, self._charge = sizes
        self.received = 0
        self.fd = fd
        self._spool = spool
        self.guest_id = guest_id
        self._sha256 = hashlib.sha256()
        self._open = True

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises TooMuchContent over the size that was said, and SpoolBusy when the machine has no
        memory for them; either way the content is not whole and is to be closed.
        """
        if self.received + len(data) > self.size:
            raise TooMuchContent(f"more than the {self.size} bytes that were said")
        self._sha256.update(data)
        self.received += len(data)
        try:
            written = os.write(self.fd, data)
            while written < len(data):
                data = data[written:]
                written = os.write(self.fd, data)
        except OSError as error:
            raise SpoolBusy(f"no memory for the content: {error.strerror}; send it again later") from error

    def finish(self) -> bytes:
        """Seal the content and return its SHA-256. Call it once all `size` bytes are here."""
        if self.received != self.size:
            raise ValueError(f"{self.received} bytes of {self.size} are here: only whole content is sealed")
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
        return self._sha256.digest()

    def close(self) -> None:
        """Drop the content and give its room back. A second call does nothing."""
        if self._open:
            self._open = False
            os.close(self.fd)
            self._spool._give_back(self.guest_id, self._charge)
