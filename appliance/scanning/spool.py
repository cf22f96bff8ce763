"""Contents on their way from guests to the engines: sealed memory files within fixed bounds.

Room is reserved for a whole content before its first byte is taken. When there is none, it goes to the
tenant, the user and the guest that have least, and among equals to whom it went least lately; one that waits
because of its own share stands in nobody's way. A part is kept for small contents, which so never wait
behind large ones, and a guest gets a part of that part. Beside other tenants, one has a part of each part.
"""

import asyncio
import fcntl
import hashlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from appliance.domain.guest import Owner, user_of
from appliance.scanning.company import Company

MAX_WAITING_PER_GUEST: Final = 64
MAX_SMALL_BYTES: Final = 1 << 20
_KEPT = 8  # one part in so many is kept for small contents, and of that one in so many is a guest's
_CLOSED_INLINE = 1 << 20  # bytes
_MAX_FILES = 2048  # bounds descriptors: a content takes at least this part of the spool
_MOST_REMEMBERED = 1024  # users and guests of whom it is known when they were last given room
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class TooLargeForSpool(Exception):
    """The content can never fit: over the limit of a file, of a guest's share or of the spool."""


class SpoolBusy(Exception):
    """No room came free in time, or the machine itself ran out of memory or descriptors."""


class TooMuchContent(Exception):
    """More bytes came than were said."""


class _Part:
    """A part of the room, and what each guest and each tenant has of it."""

    __slots__ = ("share", "tenant_share", "total", "used", "used_by", "used_by_tenant")

    def __init__(self, total: int, share: int, tenant_share: int) -> None:
        """share: of one guest. tenant_share: of one tenant, beside others."""
        self.total = total
        self.share = share
        self.tenant_share = tenant_share
        self.used = 0
        self.used_by: dict[Owner, int] = {}
        self.used_by_tenant: Counter[int] = Counter()

    def within_share(self, owner: Owner, charge: int, beside_others: bool) -> bool:
        """Whether the guest may have so much more. beside_others: whether there are other tenants."""
        if self.used_by.get(owner, 0) + charge > self.share:
            return False
        return not beside_others or self.used_by_tenant[owner.scope] + charge <= self.tenant_share

    def fits(self, owner: Owner, charge: int, beside_others: bool) -> bool:
        """Whether there is so much for the guest."""
        return self.used + charge <= self.total and self.within_share(owner, charge, beside_others)

    def take(self, owner: Owner, charge: int) -> None:
        """Give the guest so much more; a negative charge gives it back."""
        self.used += charge
        left = self.used_by.get(owner, 0) + charge
        if left:
            self.used_by[owner] = left
        else:
            del self.used_by[owner]
        self.used_by_tenant[owner.scope] += charge
        if not self.used_by_tenant[owner.scope]:
            del self.used_by_tenant[owner.scope]


class _Waiting:
    """A reservation that waits: granted when `room` has a result, the part that it was given of."""

    __slots__ = ("charge", "owner", "room")

    def __init__(self, owner: Owner, charge: int) -> None:
        self.owner = owner
        self.charge = charge
        self.room: asyncio.Future[_Part] = asyncio.get_running_loop().create_future()


class _Queue:
    """Who waits, each guest in its own order. blocked: by want of room, and not of somebody's own share."""

    __slots__ = ("blocked", "by_guest")

    def __init__(self) -> None:
        self.by_guest: dict[Owner, deque[_Waiting]] = {}
        self.blocked = False

    def add(self, waiting: _Waiting) -> None:
        """Let one wait."""
        self.by_guest.setdefault(waiting.owner, deque()).append(waiting)

    def remove(self, waiting: _Waiting) -> None:
        """Take one out, if it waits."""
        mine = self.by_guest.get(waiting.owner, ())
        if waiting in mine:
            self.by_guest[waiting.owner].remove(waiting)
            if not self.by_guest[waiting.owner]:
                del self.by_guest[waiting.owner]


_Name = Owner | int  # a guest or a user, or the number of a tenant


def _user_of(owner: Owner) -> Owner:
    """The user whose guest it is."""
    return Owner(owner.scope, user_of(owner.guest_id))


class Spool:
    """The room that all uploads share. Lives on one event loop."""

    def __init__(
        self, total_bytes: int, file_bytes: int, guest_bytes: int, tenant_percent: int = 100
    ) -> None:
        """total_bytes: for all contents together. file_bytes: for one. guest_bytes: for one guest's.

        tenant_percent: of all, that one tenant may have beside others, but room for one file in any case.
        An eighth of the whole is kept for small contents, or what the largest of all leaves.
        """
        self.company = Company(time.monotonic)
        self._file = min(file_bytes, guest_bytes, total_bytes)
        kept = min(total_bytes // _KEPT, total_bytes - self._file)
        self._small_bytes = min(MAX_SMALL_BYTES, kept // _KEPT)
        self._floor = max(1, total_bytes // _MAX_FILES)
        of_tenant = max(total_bytes * tenant_percent // 100, self._file)
        self._common = _Part(total_bytes - kept, total_bytes, total_bytes)
        self._kept = _Part(kept, kept // _KEPT, max(kept * tenant_percent // 100, kept // _KEPT))
        self._whole = _Part(total_bytes, min(guest_bytes, total_bytes), of_tenant)  # both parts together
        self._large, self._small = _Queue(), _Queue()
        self._granted: dict[_Name, int] = {}  # tenant, user or guest -> number of the last grant
        self._grants = 0

    @property
    def used_bytes(self) -> int:
        """Room that is reserved now; a small content counts as 1/2048 of the spool."""
        return self._whole.used

    @property
    def waiting(self) -> int:
        """Reservations that wait for room."""
        return sum(len(mine) for queue in (self._large, self._small) for mine in queue.by_guest.values())

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for room that others hold, and not only for its own share."""
        return self._large.blocked or self._small.blocked

    def reserve_now(self, owner: Owner, size: int) -> "SpoolFile | None":
        """Return a file with room for `size` bytes, None where that has to be waited for.

        Raises TooLargeForSpool, and SpoolBusy where the machine has no memory file to give.
        """
        charge = self._charge(size)
        queue = self._small if charge <= self._small_bytes else self._large
        if queue.blocked or owner in queue.by_guest:
            return None
        part = self._room(queue, owner, charge)
        if part is None:
            return None
        self._take(part, owner, charge)
        if queue is self._large:
            self._remember(owner)
        return self._file_of(owner, (size, charge), part)

    async def reserve(self, owner: Owner, size: int, deadline_seconds: float) -> "SpoolFile":
        """Return a file with room for `size` bytes, as soon as there is room.

        Raises TooLargeForSpool where that can never be, and SpoolBusy when it has not come to be
        within the deadline or too many reservations of this guest wait already.
        """
        file = self.reserve_now(owner, size)
        if file is not None:
            return file
        charge = self._charge(size)
        return self._file_of(owner, (size, charge), await self._wait(owner, charge, deadline_seconds))

    def _charge(self, size: int) -> int:
        """What a content takes of the spool. Raises TooLargeForSpool."""
        if size > self._file:
            raise TooLargeForSpool(f"{size} bytes are over the limit of {self._file} bytes for one file")
        return max(size, self._floor)

    def _file_of(self, owner: Owner, sizes: tuple[int, int], part: _Part) -> "SpoolFile":
        """A file for room that was taken. Raises SpoolBusy, and then the room is given back."""

        def give_back() -> None:
            self._give_back(part, owner, sizes[1])

        try:
            fd = os.memfd_create("content", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:
            give_back()
            raise SpoolBusy(f"no memory file to be had: {error.strerror}; send it again later") from error
        return SpoolFile(owner, sizes[0], fd, give_back)

    async def _wait(self, owner: Owner, charge: int, deadline_seconds: float) -> _Part:
        """Return once `charge` is taken for the guest: the part that it was taken of."""
        queue = self._small if charge <= self._small_bytes else self._large
        if len(queue.by_guest.get(owner, ())) >= MAX_WAITING_PER_GUEST:
            raise SpoolBusy(f"{MAX_WAITING_PER_GUEST} uploads of this guest wait for room already")
        waiting = _Waiting(owner, charge)
        queue.add(waiting)
        self._grant()  # it may only be others' shares that are spent
        try:
            async with asyncio.timeout(deadline_seconds):
                return await waiting.room
        except BaseException as error:
            self._withdraw(queue, waiting)
            if isinstance(error, TimeoutError):
                raise SpoolBusy(
                    f"no room for the content within {deadline_seconds:g} s: send it again later"
                ) from None
            raise

    def _withdraw(self, queue: _Queue, waiting: _Waiting) -> None:
        """Undo a reservation whose caller has gone, whether it was granted yet or not."""
        if waiting.room.done() and not waiting.room.cancelled():
            self._give_back(waiting.room.result(), waiting.owner, waiting.charge)
        else:
            queue.remove(waiting)
            self._grant()

    def _room(self, queue: _Queue, owner: Owner, charge: int) -> _Part | None:
        """The part that has room for a content; small ones leave the common one to large ones that wait."""
        beside = self.company.of_tenant(owner.scope)
        if not self._whole.within_share(owner, charge, beside):
            return None
        small = queue is self._small
        if not (small and self._large.blocked) and self._common.fits(owner, charge, beside):
            return self._common
        return self._kept if small and self._kept.fits(owner, charge, beside) else None

    def _has_spent_its_share(self, queue: _Queue, owner: Owner, charge: int) -> bool:
        """Whether the guest would get no room even if others held none of what it may have now."""
        beside = self.company.of_tenant(owner.scope)
        if not self._whole.within_share(owner, charge, beside):
            return True
        return queue is self._small and not self._kept.within_share(owner, charge, beside)

    def _take(self, part: _Part, owner: Owner, charge: int) -> None:
        part.take(owner, charge)
        self._whole.take(owner, charge)

    def _give_back(self, part: _Part, owner: Owner, charge: int) -> None:
        self._take(part, owner, -charge)
        if self._large.by_guest or self._small.by_guest:
            self._grant()

    def _grant(self) -> None:
        """Give room to those who wait: to large contents first, since small ones have a part of their own."""
        self._serve(self._large)
        self._serve(self._small)

    def _serve(self, queue: _Queue) -> None:
        """Give room to one who waits after the other, by rank, each guest's in its own order.

        So those that take much again and again do not keep out one that takes little. Who is next and
        lacks only room in the whole stops the round, so a large content is not overtaken for ever; who
        has spent its own share is passed over.
        """
        queue.blocked = False
        if not queue.by_guest:
            return
        users: Counter[Owner] = Counter()
        for owner, used in self._whole.used_by.items():
            users[_user_of(owner)] += used
        turns = dict.fromkeys(queue.by_guest)
        while turns:
            owner = min(turns, key=lambda name: self._rank(name, users))
            first = queue.by_guest[owner][0]
            part = None if first.room.done() else self._room(queue, owner, first.charge)
            if part is not None:
                self._take(part, owner, first.charge)
                users[_user_of(owner)] += first.charge
                self._remember(owner)
                first.room.set_result(part)
            elif not first.room.done():  # else its caller was cancelled just now
                if not self._has_spent_its_share(queue, owner, first.charge):
                    queue.blocked = True
                    return
                del turns[owner]
                continue
            queue.remove(first)
            if owner not in queue.by_guest:
                del turns[owner]

    def _rank(self, owner: Owner, users: Counter[Owner]) -> tuple[int, ...]:
        """Whose turn it is, the least first: what the tenant has, when it last got some; so user, guest."""
        user, granted = _user_of(owner), self._granted.get
        return (
            self._whole.used_by_tenant[owner.scope],
            granted(owner.scope, 0),
            users[user],
            granted(user, 0),
            self._whole.used_by.get(owner, 0),
            granted(owner, 0),
        )

    def _remember(self, owner: Owner) -> None:
        """Note that room was given to a guest now."""
        self._grants += 1
        names: set[_Name] = {owner.scope, _user_of(owner), owner}
        for name in names:
            self._granted.pop(name, None)
            self._granted[name] = self._grants
        while len(self._granted) > _MOST_REMEMBERED:
            del self._granted[next(iter(self._granted))]


class SpoolFile:
    """One content: written as it arrives, hashed on the way, sealed when whole.

    fd: a memory file, readable by /proc/self/fd/N of whoever it is passed to; unwritable by
    anybody once sealed. size: the bytes that were said. received: those that came. owner: who sends it.
    """

    __slots__ = ("_give_back", "_open", "_sha256", "fd", "owner", "received", "size")

    def __init__(self, owner: Owner, size: int, fd: int, give_back: Callable[[], None]) -> None:
        """give_back: called once when the content is dropped."""
        self.size = size
        self.received = 0
        self.fd = fd
        self._give_back = give_back
        self.owner = owner
        self._sha256 = hashlib.sha256()
        self._open = True

    @property
    def guest_id(self) -> str:
        """Who sends it."""
        return self.owner.guest_id

    def write(self, data: bytes | memoryview) -> None:
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
        """Drop the content and give its room back, of a large one soon. A second call does nothing."""
        if not self._open:
            return
        self._open = False
        if self.received <= _CLOSED_INLINE:
            os.close(self.fd)
            self._give_back()
        else:  # the kernel takes its time over many pages, and others would wait
            closed = asyncio.get_running_loop().run_in_executor(None, os.close, self.fd)
            closed.add_done_callback(lambda _: self._give_back())
