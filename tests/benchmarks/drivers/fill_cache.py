"""Writes NOT_DETECTED verdicts into an SVM's store while that SVM is stopped.

Settings: directory (of the store), map_bytes, digests (a file), generation. They are put in the
order of the file, which is random, in flushes of a size that a busy SVM has; answers {"value",
"prefix"} in hexadecimal: a record as it is stored, and what stands before the digest in its key.
"""

import time
from pathlib import Path

from appliance.domain.guest import DEFAULT_TENANT_SCOPE
from appliance.domain.outcome import Disposition, Source
from appliance.domain.verdict import Verdict
from appliance.verdicts.record import encode
from appliance.verdicts.store import VerdictStore
from tests.benchmarks.data import split_digests
from tests.benchmarks.drivers import reply, settings

FLUSH = 2000  # verdicts of one commit
HOUR = 3600
KEPT = 30 * 24 * HOUR


def main() -> None:
    """Fill the store and end."""
    given = settings()
    now = int(time.time()) // HOUR * HOUR
    verdict = Verdict(Disposition.NOT_DETECTED, Source.ENGINE, given["generation"], now, now + KEPT)
    store = VerdictStore.open(Path(given["directory"]), given["map_bytes"], time.time)
    for number, digest in enumerate(split_digests(Path(given["digests"]).read_bytes()), 1):
        store.put(DEFAULT_TENANT_SCOPE, digest, verdict)
        if number % FLUSH == 0:
            store.flush()
    store.flush()
    store.sync()
    store.close()
    reply({"value": encode(verdict).hex(), "prefix": DEFAULT_TENANT_SCOPE.to_bytes(4, "big").hex()})


if __name__ == "__main__":
    main()
