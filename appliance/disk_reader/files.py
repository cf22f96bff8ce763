"""Files by their descriptors, and parts of what can be read: without a buffer, which their readers have."""

import errno
import io
import os
from typing import BinaryIO, cast


class _Placed(io.RawIOBase):
    """What has a size, and a place where it is read next."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where it is read next."""
        return self._at

    def seek(self, to: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere."""
        self._at = max(0, to + (0, self._at, self.size)[whence])
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, fewer at the end."""
        left = max(0, self.size - self._at)
        size = left if size is None or size < 0 else min(size, left)
        data = self._read(self._at, size) if size else b""
        self._at += len(data)
        return data

    def _read(self, at: int, size: int) -> bytes:
        raise NotImplementedError


class FileStream(_Placed):
    """A file by its descriptor."""

    def __init__(self, fd: int) -> None:
        super().__init__(os.lseek(fd, 0, os.SEEK_END))
        self._fd = fd

    def _read(self, at: int, size: int) -> bytes:
        data = os.pread(self._fd, size, at)
        if len(data) == size:
            return data
        parts = [data]
        while data and (missing := size - sum(map(len, parts))):
            data = os.pread(self._fd, missing, at + size - missing)
            parts.append(data)
        return b"".join(parts)

    def next_data(self, at: int) -> int:
        """Where the next byte is that may be no zero; its size where there is none."""
        try:
            return os.lseek(self._fd, at, os.SEEK_DATA)
        except OSError as error:  # a device, and some file systems, know no holes
            return self.size if error.errno == errno.ENXIO else at


class Window(_Placed):
    """A part of what can be read."""

    def __init__(self, whole: BinaryIO, start: int, size: int) -> None:
        super().__init__(size)
        self._whole = whole
        self._start = start

    def _read(self, at: int, size: int) -> bytes:
        self._whole.seek(self._start + at)
        return self._whole.read(size)

    def next_data(self, at: int) -> int:
        """As for a file."""
        return min(max(at, next_data(self._whole, self._start + at) - self._start), self.size)


def next_data(stream: BinaryIO | FileStream | Window, at: int) -> int:
    """Where the next byte is that may be no zero, without a look at what lies between."""
    look = getattr(stream, "next_data", None)
    return at if look is None else int(look(at))


def window(whole: BinaryIO, start: int, size: int) -> BinaryIO:
    """A part of what can be read."""
    return cast(BinaryIO, Window(whole, start, size))
