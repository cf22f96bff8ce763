"""The bound of a scan's memory: how many files may be on their way between the walk and their answer."""

from threading import Condition

from guest_stub.found import FoundFile

MAX_FILES = 4096  # half of what an SVM takes from one guest at once; some 700 bytes of memory each
MAX_BYTES = 1 << 30  # so that the SVM can scan all of it within the time that it is asked for
_CHARS_A_PLACE = 1024  # a longer path takes more places


def places(file: FoundFile) -> int:
    """How many of MAX_FILES a file takes."""
    return 1 + len(file.directory) // _CHARS_A_PLACE


class Room:
    """Places for files, taken by one thread, the walking one, and given back on the loop."""

    def __init__(self, files: int = MAX_FILES, size: int = MAX_BYTES) -> None:
        """files, size (bytes): the most that may be taken; a single larger piece is let in alone."""
        self._most_files = files
        self._most_bytes = size
        self._files = 0
        self._bytes = 0
        self._open = True
        self._wanted = (0, 0)  # files and bytes that the walking thread waits for
        self._changed = Condition()

    @property
    def empty(self) -> bool:
        """Whether nothing is taken."""
        return self._files == 0

    def take(self, files: int, size: int) -> bool:
        """Wait for room and take it; False when the room was closed."""
        with self._changed:
            self._wanted = (files, size)
            self._changed.wait_for(lambda: not self._open or self._fits(files, size))
            if not self._open:
                return False
            self._files += files
            self._bytes += size
            return True

    def give_back(self, files: int, size: int) -> None:
        """Give back what take() took."""
        with self._changed:
            self._files -= files
            self._bytes -= size
            if self._fits(*self._wanted):  # else the walking thread would wake up for nothing, time and again
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more, nor wait."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def _fits(self, files: int, size: int) -> bool:
        if self._files == 0:
            return True
        return self._files + files <= self._most_files and self._bytes + size <= self._most_bytes
