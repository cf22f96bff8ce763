"""Files that were submitted for analysis: kept for the operator, each under its SHA-256, within a budget.

    submitted/SHA-256         the content, as it came
    submitted/SHA-256.json    {"filename", "size", "by", "at"}: the sender's words, and whose key it was

Nothing here opens them. What the operator concludes is said with `private-ksn set`.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import BinaryIO

MAX_NAME_LETTERS = 255
_PART = "part-"


class NoRoom(Exception):
    """The budget of submitted files is spent."""


class Submissions:
    """The directory of submitted files. Used from one thread."""

    def __init__(self, directory: Path, budget: int) -> None:
        """Open the directory, or make it; what a stopped server left half is removed. budget: bytes."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in directory.glob(f"{_PART}*"):
            part.unlink()
        self._directory = directory
        self._budget = budget
        self._used = sum(path.stat().st_size for path in directory.iterdir())

    @property
    def used(self) -> int:
        """Bytes that are kept, or on their way."""
        return self._used

    def has(self, sha256: str) -> bool:
        """Whether that file was submitted. sha256: in small hexadecimal digits."""
        return (self._directory / sha256).exists()

    def begin(self) -> "Submission":
        """A file that comes. Raises OSError."""
        return Submission(self, self._directory)

    def take(self, count: int) -> None:
        """Take room for so many bytes, or raise NoRoom."""
        if self._used + count > self._budget:
            raise NoRoom(f"the room for submitted files, {self._budget >> 20} MiB, is spent")
        self._used += count

    def give_back(self, count: int) -> None:
        """Room that is not needed after all."""
        self._used -= count


class Submission:
    """One file on its way. It ends with `keep` or with `drop`; a drop after a keep does nothing."""

    def __init__(self, submissions: Submissions, directory: Path) -> None:
        """For begin()."""
        self.size = 0
        self._taken = 0
        self._submissions = submissions
        self._directory = directory
        self._path = directory / f"{_PART}{secrets.token_hex(8)}"
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = self._path.open("xb")

    def add(self, chunk: bytes) -> None:
        """The next bytes. Raises NoRoom, OSError."""
        assert self._file is not None
        self._submissions.take(len(chunk))
        self._taken += len(chunk)
        self.size += len(chunk)
        self._hash.update(chunk)
        self._file.write(chunk)

    def keep(self, name: str, by: str, at: int) -> str:
        """All came: keep it, once however often it comes; its SHA-256. Raises NoRoom, OSError."""
        assert self._file is not None
        sha256 = self._hash.hexdigest()
        if self._submissions.has(sha256):
            return sha256
        told = {"filename": name[:MAX_NAME_LETTERS], "size": self.size, "by": by, "at": at}
        words = json.dumps(told).encode()
        self._submissions.take(len(words))
        self._taken += len(words)
        self._file.flush()
        os.fsync(self._file.fileno())
        (self._directory / f"{sha256}.json").write_bytes(words)
        self._path.rename(self._directory / sha256)
        self._file.close()
        self._file, self._taken = None, 0
        return sha256

    def drop(self) -> None:
        """Forget it, unless it was kept."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.unlink(missing_ok=True)
            self._submissions.give_back(self._taken)
