"""SHA-256 of every regular file of a tree with hashlib.file_digest, in threads, as a whole command.

`hash_tree.py THREADS PATH`: one file system, hard links once, symlinks not followed, as the stub does.
Prints files and bytes as JSON.
"""

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor


def files(top: str) -> Iterator[tuple[str, int]]:
    """Yield the path and size of each file that counts."""
    device = os.lstat(top).st_dev
    linked: set[int] = set()
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode) or found.st_dev != device:
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
    threads, top = int(sys.argv[1]), sys.argv[2]
    found = list(files(top))
    with ThreadPoolExecutor(threads) as pool:
        count = sum(1 for _ in pool.map(digest, [path for path, _ in found], chunksize=1))
    print(json.dumps({"files": count, "bytes": sum(size for _, size in found)}))


if __name__ == "__main__":
    main()
