"""The bare library: walk an ext4 file system in a qcow2 image and hash every regular file, in one process."""

import hashlib
import stat
import sys
from pathlib import Path

from dissect.extfs import ExtFS
from dissect.hypervisor.disk.qcow2 import QCow2

_READ = 1 << 20


def main(path: str) -> None:
    """Print how many files and bytes there were."""
    files = read = 0
    with Path(path).open("rb") as image:
        system = ExtFS(QCow2(image).open())
        waiting = [system.root]
        while waiting:
            for node in waiting.pop().iterdir():
                if node.filename in (".", ".."):
                    continue
                if node.filetype == stat.S_IFDIR:
                    waiting.append(node)
                elif node.filetype == stat.S_IFREG:
                    sha256, stream = hashlib.sha256(), node.open()
                    while data := stream.read(_READ):
                        sha256.update(data)
                        read += len(data)
                    sha256.digest()
                    files += 1
    print(files, read)


if __name__ == "__main__":
    main(sys.argv[1])
