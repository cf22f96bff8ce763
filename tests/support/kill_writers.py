"""Processes that write verdicts or overrides until they are killed; run by test_store_kill.

    python -m tests.support.kill_writers verdicts DIRECTORY FIRST
    python -m tests.support.kill_writers overrides DIRECTORY

They say the number of the last verdict that is flushed, or of the override that was just set.
"""

import hashlib
import sys
from pathlib import Path

from appliance.domain.outcome import Disposition, Source
from appliance.domain.override import Override
from appliance.domain.verdict import Verdict
from appliance.state.store import StateStore
from appliance.verdicts.store import VerdictStore

MAP_BYTES = 256 << 20
FLUSH = 97  # verdicts between two flushes
HOUR = 3600


def digest(number: int) -> bytes:
    """The digest of a number."""
    return hashlib.sha256(b"%d" % number).digest()


def verdict(number: int) -> Verdict:
    """The verdict of a number: every disposition, some with texts, many different generations."""
    disposition = Disposition(number % len(Disposition) + 1)
    if disposition in (Disposition.MALICIOUS, Disposition.SUSPICIOUS):
        return Verdict(
            disposition,
            Source.ENGINE,
            number,
            HOUR * (number % 1000),
            threat=f"Threat.{number}",
            engine="yara",
            member="a.zip!b" * (number % 18),
        )
    return Verdict(disposition, Source.ENGINE, number % 10, HOUR * (number % 100))


def override(number: int) -> Override:
    """The override of a number."""
    return Override(number % 2 == 0, f"ticket {number}", "uid-0", number)


def write_verdicts(directory: Path, first: int) -> None:
    """Put verdicts from a number on, flushing now and then; never ends."""
    store = VerdictStore.open(directory, MAP_BYTES, lambda: 0.0)
    number = first
    while True:
        store.put(16, digest(number), verdict(number))
        if number % FLUSH == 0:
            store.flush()
            print(number, flush=True)
        number += 1


def set_overrides(directory: Path) -> None:
    """Set one override after another; never ends."""
    state = StateStore.open(directory, lambda: 0.0, 100_000)
    number = 0
    while True:
        state.set_override(digest(number), override(number), "uid-0")
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    if sys.argv[1] == "verdicts":
        write_verdicts(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        set_overrides(Path(sys.argv[2]))
