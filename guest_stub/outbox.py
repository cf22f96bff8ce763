"""What happened in this guest and the SVM has not kept yet: on the disk, so that a killed stub loses none.

Lines are written as they come and never synced: that outlives kill -9, and a power cut costs the last
seconds. Nothing that was taken off this disk, by a power cut or by whoever puts the machine back to a
snapshot, makes the SVM take a new event for one that it has: each run begins a journal of its own, and so
does each link, whose numbers are of that journal alone.

Bounded in entries and bytes; what has no room is counted, and an event says how many. Where the disk takes
nothing, events wait in memory, within the same bounds, and are written when it does.
"""

import errno
import fcntl
import os
from collections import deque
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from guest_stub.outbox_lines import Waiting, event_of, kept_line, line_of, read, within_bounds, written
from guest_stub.svm_link.values import JOURNAL_BYTES, EventKind, GuestEvent

FILE: Final = "events"
NEW_FILE: Final = "events.new"
MOST_ENTRIES: Final = 4096
MOST_BYTES: Final = 1 << 20  # of the lines that wait
_MOST_DONE_BYTES: Final = 1 << 20  # of the file: what is done; then it is written anew
_MOST_FILE_BYTES: Final = 4 << 20
_MADE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LOST: Final = "more happened than could be kept for the SVM: these events are lost"


def waiting_in(directory: Path) -> int:
    """How many events wait there, whoever holds the outbox. Raises OSError."""
    try:
        with (directory / FILE).open("rb") as file:
            return len(read(file.read(_MOST_FILE_BYTES)))
    except FileNotFoundError:
        return 0


class Outbox:
    """One directory's; for one thread.

    lost: events for which there was no room. problem: why events are not on the disk now, "" while they are.
    """

    def __init__(self, directory: Path) -> None:
        """Take up what an earlier run left. Raises nothing: what makes no sense is passed over."""
        self.lost = 0
        self.problem = ""
        self._directory = directory
        self._lock = self._fd = -1
        self._size = 0  # of the file
        self._section = b""  # the journal of the file's last lines
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0  # of the lines that wait
        self._unwritten = 0  # how many of these, the last ones, are in memory alone
        self._untold = 0  # events that were lost since an event said so
        self._given = (b"", 0)  # the journal and the highest number that first() gave
        self.renew()
        try:
            self._take_up()
        except OSError as error:
            self._give_up(error)

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._waiting)

    @property
    def is_half_full(self) -> bool:
        """Whether it is time to say less."""
        return len(self._waiting) >= MOST_ENTRIES // 2 or self._bytes >= MOST_BYTES // 2

    def renew(self) -> None:
        """Begin another journal: what waits stays what it is, what comes is of the new one."""
        self._journal = os.urandom(JOURNAL_BYTES)
        self._last = 0

    def add(self, event: GuestEvent) -> None:
        """Keep an event, under a number of its own; it is cut to what the wire takes. Raises nothing."""
        if self._untold:
            lost = GuestEvent(0, EventKind.OVERFLOW, event.at, action="dropped", text=_LOST)
            if self._put(replace(lost, count=self._untold)):
                self._untold = 0
        if self._untold or not self._put(event):
            self.lost += 1
            self._untold += 1
        self._write_out()

    def first(self, most: int) -> tuple[bytes, list[GuestEvent]]:
        """The first events that wait, of one journal, and that journal; `most` at the most."""
        journal, events = self._waiting[0].journal if self._waiting else b"", []
        for each in islice(self._waiting, most):
            if each.journal != journal:
                break
            event = event_of(each.line)
            assert event is not None  # else it would not wait
            events.append(event)
            self._given = (journal, each.number)
        return journal, events

    def kept(self, journal: bytes, up_to: int) -> int:
        """Forget events of a journal up to a number, of those that first() gave; how many these are."""
        given, most = self._given
        up_to, done = min(up_to, most), 0
        if journal != given:
            return 0
        while self._waiting and self._waiting[0].journal == journal and self._waiting[0].number <= up_to:
            self._bytes -= len(self._waiting.popleft().line)
            done += 1
        self._unwritten = min(self._unwritten, len(self._waiting))
        if done and self._fd >= 0:
            self._note(journal, up_to)
        return done

    def close(self) -> None:
        """Let go of the file."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    def _put(self, event: GuestEvent) -> bool:
        """Have an event wait; False where there is no room."""
        line = line_of(replace(within_bounds(event), number=self._last + 1))
        if len(self._waiting) >= MOST_ENTRIES or self._bytes + len(line) > MOST_BYTES:
            return False
        self._last += 1
        self._waiting.append(Waiting(self._journal, self._last, line))
        self._bytes += len(line)
        self._unwritten += 1
        return True

    def _write_out(self) -> None:
        """Write what is in memory alone, if the disk takes it."""
        if not self._unwritten or self._lock < 0:
            return
        unwritten = islice(self._waiting, len(self._waiting) - self._unwritten, None)
        try:
            if self._fd < 0:
                # Never one that could not be taken up: that is for another run.
                self._fd = os.open(self._directory / FILE, _MADE, 0o600)
            self._append(b"".join(written(unwritten, self._section)))
            self._section, self._unwritten, self.problem = self._waiting[-1].journal, 0, ""
        except OSError as error:
            self._give_up(error)

    def _note(self, journal: bytes, up_to: int) -> None:
        """Have the file say what is kept. Where it cannot, that is sent again, and known by its number."""
        try:
            if not self._waiting:
                os.ftruncate(self._fd, 0)
                self._size, self._section = 0, b""
                return
            self._append(kept_line(journal, up_to))
            if self._size > self._bytes + _MOST_DONE_BYTES:
                self._write_anew()
        except OSError as error:
            self._give_up(error)

    def _append(self, data: bytes) -> None:
        """Write at the end, all or nothing. Raises OSError."""
        if self._size + len(data) > _MOST_FILE_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        _write(self._fd, data, self._size)
        self._size += len(data)

    def _write_anew(self) -> None:
        """Write what waits into a new file, which then takes the place of the old one. Raises OSError."""
        new = self._directory / NEW_FILE
        data = b"".join(written(self._waiting, b""))
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(fd, data, 0)
            os.rename(new, self._directory / FILE)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._size, self._unwritten = fd, len(data), 0
        self._section = self._waiting[-1].journal

    def _take_up(self) -> None:
        """Read what an earlier run left, and hold the directory against another one. Raises OSError."""
        lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            why = "another guest-stub keeps its events there"
            raise OSError(error.errno, why) from error
        self._lock = lock
        try:
            fd = os.open(self._directory / FILE, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fchmod(fd, 0o600)
            left = os.pread(fd, _MOST_FILE_BYTES, 0)
            self._accept(left)
            self._size = left.rfind(b"\n") + 1 if self._waiting else 0
            os.ftruncate(fd, self._size)  # a line that was cut off would make the next one senseless
        except OSError:
            os.close(fd)
            raise
        self._fd = fd

    def _accept(self, left: bytes) -> None:
        """Have the events of an earlier run wait, in front of those to come."""
        for each in read(left):
            if len(self._waiting) >= MOST_ENTRIES or self._bytes + len(each.line) > MOST_BYTES:
                self.lost += 1
                self._untold += 1
            else:
                self._waiting.append(each)
                self._bytes += len(each.line)

    def _give_up(self, error: OSError) -> None:
        """For now: events wait in memory, and the next one tries again."""
        self.problem = error.strerror or str(error)


def _write(fd: int, data: bytes, where: int) -> None:
    """Write all of it; where that cannot be, the file ends as before. Raises OSError."""
    try:
        done = os.pwrite(fd, data, where)
        if done != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(fd, where)
        raise
