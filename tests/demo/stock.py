"""What is in the tree, found out without the code that is shown: walked and hashed here."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Stock:
    """What a tree holds.

    files: path to SHA-256 of those that can be read, a file with several names once. contents: SHA-256
    to size in bytes.
    """

    files: dict[str, bytes]
    file_bytes: int
    contents: dict[bytes, int]

    @property
    def unique_bytes(self) -> int:
        """Bytes of all contents, each once."""
        return sum(self.contents.values())

    def bytes_of(self, paths: Sequence[str]) -> int:
        """Bytes of the contents of these files, each content once."""
        return sum(self.contents[digest] for digest in {self.files[path] for path in paths})


def take_stock(directories: Sequence[Path]) -> Stock:
    """Walk and hash everything below the directories."""
    paths = list(_regular_files(directories))
    batches = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    files: dict[str, bytes] = {}
    contents: dict[bytes, int] = {}
    total = 0
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for batch, hashed in zip(batches, threads.map(_hash_all, batches), strict=True):
            for path, content in zip(batch, hashed, strict=True):
                if content is not None:
                    digest, size = content
                    files[path] = digest
                    contents[digest] = size
                    total += size
    return Stock(files, total, contents)


def _regular_files(directories: Sequence[Path]) -> Iterator[str]:
    """Every regular file once, by its first name."""
    seen: set[tuple[int, int]] = set()
    for directory in directories:
        for folder, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    yield path


def _hash_all(paths: Sequence[str]) -> list[tuple[bytes, int] | None]:
    """Digest and size of each file; None where it may not be read."""
    return [_hash(path) for path in paths]


def _hash(path: str) -> tuple[bytes, int] | None:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            return digest, file.tell()
    except PermissionError:
        return None
