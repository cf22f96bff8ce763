"""MGET of batches of keys through redis-py with its hiredis parser, over a unix socket.

Settings: socket, digests (a file of 32-byte digests), value (hexadecimal), batch. The keys are
written here first. Question: {"seed", "batches"}; answer: {"seconds", "found"}.
"""

import random
import time
from pathlib import Path
from typing import Any

import redis
from redis.connection import UnixDomainSocketConnection
from redis.utils import HIREDIS_AVAILABLE

from tests.benchmarks.data import split_digests
from tests.benchmarks.drivers import serve, settings

FILL = 10_000  # keys of one MSET


def main() -> None:
    """Fill the server, then time MGET."""
    given = settings()
    if not HIREDIS_AVAILABLE:
        raise SystemExit("redis-py found no hiredis: install the dev extra")
    digests = split_digests(Path(given["digests"]).read_bytes())
    value = bytes.fromhex(given["value"])
    pool = redis.ConnectionPool(connection_class=UnixDomainSocketConnection, path=given["socket"])
    client = redis.Redis(connection_pool=pool)
    for first in range(0, len(digests), FILL):
        client.mset(dict.fromkeys(digests[first : first + FILL], value))
    size = given["batch"]

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        source = random.Random(question["seed"])
        batches = [source.choices(digests, k=size) for _ in range(question["batches"])]
        found = 0
        began = time.perf_counter()
        for batch in batches:
            found += size - client.mget(batch).count(None)
        return {"seconds": time.perf_counter() - began, "found": found}

    serve(answer)
    client.close()


if __name__ == "__main__":
    main()
