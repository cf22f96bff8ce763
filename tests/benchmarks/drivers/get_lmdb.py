"""Random `get` of keys from LMDB in one read transaction, nothing else in the process.

Settings: directory, digests (a file of 32-byte digests), prefix and value (hexadecimal). The
environment is made here: every digest with the value, in sorted order, which packs pages as full
as they get. Question: {"seed", "count"}; answer: {"seconds", "found"}.
"""

import random
import time
from pathlib import Path
from typing import Any

import lmdb

from tests.benchmarks.data import split_digests
from tests.benchmarks.drivers import serve, settings

MAP_BYTES = 4 << 30


def main() -> None:
    """Fill the environment, then time gets."""
    given = settings()
    prefix, value = bytes.fromhex(given["prefix"]), bytes.fromhex(given["value"])
    keys = [prefix + digest for digest in split_digests(Path(given["digests"]).read_bytes())]
    environment = lmdb.open(given["directory"], map_size=MAP_BYTES, sync=False, readahead=False)
    with environment.begin(write=True) as transaction:
        for key in sorted(keys):
            transaction.put(key, value, append=True)

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        wanted = random.Random(question["seed"]).choices(keys, k=question["count"])
        found = 0
        with environment.begin() as transaction:
            get = transaction.get
            began = time.perf_counter()
            for key in wanted:
                if get(key) is not None:
                    found += 1
            seconds = time.perf_counter() - began
        return {"seconds": seconds, "found": found}

    serve(answer)
    environment.close()


if __name__ == "__main__":
    main()
