"""SHA-256 of every regular file of a tree with hashlib.file_digest, in threads, as a whole command.

`hash_tree.py THREADS MAX_BYTES PATH`: one file system, hard links once, symlinks not followed, files over
MAX_BYTES left out, as the stub does. Prints files and bytes as JSON.
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor


def files(top: str, max_bytes: int) -> Iterator[tuple[str, int]]:
    """Yield the path and size of each file that counts."""
    device = os.lstat(top).st_dev
    linked: set[int] = set()
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode) or found.st_dev != device or found.st_size > max_bytes:
                continue
            if found.st_nlink > 1:
                if found.st_ino in linked:
                    continue
                linked.add(found.st_ino)
            yield path, found.st_size


def digest(path: str) -> bytes:
    """Return the SHA-256 of one file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def main() -> None:
    """Hash the tree."""
    threads, max_bytes, top = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    found = list(files(top, max_bytes))
    with ThreadPoolExecutor(threads) as pool:
        count = sum(1 for _ in pool.map(digest, [path for path, _ in found], chunksize=1))
    print(json.dumps({"files": count, "bytes": sum(size for _, size in found)}))


if __name__ == "__main__":
    main()
