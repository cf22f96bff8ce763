"""What an engine is given: one file, or one member of a container.

Cheap things are at hand, dear ones are computed once and only when an engine asks: most contents
meet no MD5 list, and hashing costs more than a small scan.
"""

import hashlib
import mmap
import os

from appliance.domain.content import ContentLabel

# Up to here a copy is at least as fast as a mapping; measured for 5 kB: 3 us against 10 us.
IN_MEMORY_BYTES = 1024 * 1024


class Content:
    """Bytes to be looked at, with the names that rules may ask for.

    fd: descriptor of the bytes, readable by /proc/self/fd/N, or -1 where they stand in memory only.
    size: bytes. name: last part of the path, a label. member: path inside the container, "" for the
    file itself, safe to print, at most MAX_MEMBER_BYTES of UTF-8.
    """

    __slots__ = ("_data", "_md5", "_owned", "_sha1", "_sha256", "fd", "member", "name", "size")

    def __init__(self, size: int, name: bytes, member: str = "") -> None:
        """Make an empty shell; use `of_descriptor` or `of_bytes`."""
        self.size = size
        self.name = name
        self.member = member
        self.fd = -1
        self._owned = False
        self._data: bytes | mmap.mmap | None = None
        self._sha256 = b""
        self._md5 = b""
        self._sha1 = b""

    @classmethod
    def of_descriptor(cls, fd: int, label: ContentLabel) -> "Content":
        """Return the content of `fd`, which stays the caller's. It must not shrink while it is in use."""
        content = cls(label.size, label.name)
        content.fd = fd
        content._sha256 = label.sha256
        return content

    @classmethod
    def of_bytes(cls, data: bytes, name: bytes = b"", member: str = "") -> "Content":
        """Return content that stands in memory."""
        content = cls(len(data), name, member)
        content._data = data
        return content

    @classmethod
    def of_own_descriptor(cls, fd: int, name: bytes, member: str) -> "Content":
        """Return the content of `fd`, which `close` closes."""
        content = cls(os.fstat(fd).st_size, name, member)
        content.fd = fd
        content._owned = True
        return content

    @property
    def data(self) -> bytes | mmap.mmap:
        """All of it: bytes up to IN_MEMORY_BYTES, a private mapping above. Raises OSError, MemoryError."""
        if self._data is None:
            if self.size <= IN_MEMORY_BYTES:
                self._data = os.pread(self.fd, self.size, 0)
            else:
                self._data = mmap.mmap(self.fd, self.size, access=mmap.ACCESS_COPY)
        return self._data

    @property
    def sha256(self) -> bytes:
        """The SHA-256, 32 bytes."""
        if not self._sha256:
            self._sha256 = hashlib.sha256(self.data).digest()
        return self._sha256

    @property
    def sha1(self) -> bytes:
        """The SHA-1, 20 bytes: lists of it exist, nothing is trusted for it."""
        if not self._sha1:
            self._sha1 = hashlib.sha1(self.data, usedforsecurity=False).digest()
        return self._sha1

    @property
    def md5(self) -> bytes:
        """The MD5, 16 bytes: lists of it exist, nothing is trusted for it."""
        if not self._md5:
            self._md5 = hashlib.md5(self.data, usedforsecurity=False).digest()
        return self._md5

    def close(self) -> None:
        """Give back the memory, and the descriptor if it is this content's own. Idempotent."""
        if isinstance(self._data, mmap.mmap):
            self._data.close()
        self._data = None
        if self._owned:
            self._owned = False
            os.close(self.fd)
            self.fd = -1
