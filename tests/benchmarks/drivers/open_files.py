"""Makes files of 4 KiB, or opens, reads and closes each of them; prints the seconds of each as JSON.

Settings: top (a directory), files (how many), make (whether they are to be made), seed (of their contents),
hash (whether each is hashed as well).
"""

import hashlib
import json
import os
import random
import time

from tests.benchmarks.drivers import settings

BYTES = 4096


def main() -> None:
    """Do it."""
    given = settings()
    names = [f"{given['top']}/{number}" for number in range(given["files"])]
    if given.get("make"):
        contents = random.Random(given["seed"])
        for name in names:
            with open(name, "wb") as file:
                file.write(contents.randbytes(BYTES))
        print("[]")
        return
    seconds = []
    for name in names:
        began = time.perf_counter()
        fd = os.open(name, os.O_RDONLY)
        data = os.read(fd, BYTES)
        os.close(fd)
        if given.get("hash"):
            hashlib.sha256(data).digest()
        seconds.append(time.perf_counter() - began)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
