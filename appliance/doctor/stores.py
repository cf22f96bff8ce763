"""How full the LMDB files are, against what they may become."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from appliance.config import Settings
from appliance.doctor.findings import Finding, amiss, mib, note, ok
from appliance.state.environment import MAP_BYTES, StateEnvironment, StateError
from appliance.state.events import EventStore, EventTerms
from appliance.state.ledger import LEFT_TO_OTHERS
from appliance.verdicts.environment import CACHE, EXPOSURE, StoreError
from appliance.verdicts.stats import read_stats

FULL = 0.80  # of the cache: above this old verdicts make way
_STATE_FULL = 0.75
_EVENTS_FULL = 0.98

_NAMES = ((CACHE, "cache", "cache.map_mib"), (EXPOSURE, "exposure", "exposure.max_mib"))


def store_findings(directory: Path, settings: Settings) -> Iterator[Finding]:
    """How full each file of a state directory is; nothing of one that is not there."""
    for kind, what, setting in _NAMES:
        if (directory / kind.name).exists():
            try:
                stats = read_stats(directory, kind)
            except StoreError as error:
                yield amiss(what, f"{error}; it may be deleted while the SVM is stopped, and is earned anew")
            else:
                yield lossy_finding(what, stats.used_bytes, stats.map_bytes, setting)
    if (directory / "state.lmdb").exists():
        yield from _state(directory)
    if (directory / "events.lmdb").exists():
        yield _events(directory, settings)


def lossy_finding(what: str, used: int, most: int, setting: str) -> Finding:
    """Of a file in which old entries make way for new ones. used, most: bytes."""
    said = f"{mib(used)} of {mib(most)} used ({100 * used / most:.0f} %)"
    if used < FULL * most:
        return ok(what, said)
    return note(
        what, f"{said}: old entries make way for new ones; where that costs too much, raise {setting}"
    )


def state_findings(used: int) -> Iterator[Finding]:
    """Of the durable state. used: bytes that were ever used of MAP_BYTES."""
    said = f"{mib(used)} of {mib(MAP_BYTES)} used ({100 * used / MAP_BYTES:.0f} %)"
    left = MAP_BYTES - LEFT_TO_OTHERS - used
    keep = "make a backup, keep it, and begin anew before it is full"
    if left <= 0:
        yield amiss("ledger", f"it has no room left in state.lmdb, so nothing is sent to KSN: {keep}")
    elif used > _STATE_FULL * MAP_BYTES:
        yield note("ledger", f"{mib(left)} are left to it in state.lmdb: {keep}")
    else:
        yield ok("ledger", f"{mib(left)} are left to it in state.lmdb")
    yield ok("state", said) if used < MAP_BYTES - LEFT_TO_OTHERS // 2 else amiss("state", f"{said}: {keep}")


def _state(directory: Path) -> Iterator[Finding]:
    try:
        with closing(StateEnvironment.open_to_read(directory, as_it_is=True)) as environment:
            used = environment.used_bytes()
    except StateError as error:
        yield amiss("state", str(error))
        return
    yield from state_findings(used)


def _events(directory: Path, settings: Settings) -> Finding:
    try:
        with closing(EventStore.open_to_read(directory, EventTerms(settings.events.max_mib << 20))) as store:
            used, count, fill = store.used_bytes(), store.count(), store.fill()
    except StateError as error:
        return amiss("events", str(error))
    said = f"{count:,} kept, {mib(used)} of {settings.events.max_mib} MiB; the oldest go when there are more"
    if fill < _EVENTS_FULL:
        return ok("events", said)
    return note("events", f"{said}; their file is as large as it may become: raise events.max_mib")
