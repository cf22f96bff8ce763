"""Engines, the age of their signatures, and what is wrong in them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from appliance.doctor.findings import (
    AMISS_SECONDS,
    DAY,
    NOTE_SECONDS,
    Finding,
    amiss,
    long,
    note,
    ok,
    several,
)
from appliance.scanning.result import EngineState, SignatureSource

CLAMD = "clamd"
SHIPPED = Path(__file__).parents[1] / "scanning" / "data"

_CLAMD_NOTE_SECONDS = 3 * DAY
_CLAMD_TIME = "%a %b %d %H:%M:%S %Y"  # "ClamAV 1.4.3/27700/Mon Jul 14 08:35:11 2025"


def engine_findings(engines: Iterable[EngineState], now: float) -> Iterator[Finding]:
    """Which engines are ready, and how old clamd's signatures are."""
    for engine in engines:
        if not engine.ready:
            yield amiss(f"engine {engine.name}", engine.problem or "it is not ready: see the log")
            continue
        if engine.name == CLAMD:
            yield clamd_finding(engine.version, now)
            continue
        count = f", {engine.signatures:,} signatures" if engine.signatures else ""
        yield ok(f"engine {engine.name}", f"ready{count}")


def clamd_finding(version: str, now: float) -> Finding:
    """How old clamd's signatures are, by what it says of itself."""
    what, words = f"engine {CLAMD}", version.split("/", 2)
    if len(words) < 3:
        return note(what, f"ready; {version!r} tells no age of its signatures: see that freshclam runs")
    try:
        made = datetime.strptime(words[2].strip(), _CLAMD_TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return note(what, f"ready; the age of its signatures cannot be read of {version!r}")
    said = f"ready, its signatures {words[1]} are {long(max(0.0, now - made))} old"
    if now - made > AMISS_SECONDS:
        return amiss(what, f"{said}: see why freshclam brings no newer ones")
    if now - made > _CLAMD_NOTE_SECONDS:
        return note(what, f"{said}: see that freshclam runs")
    return ok(what, said)


def file_time(path: str) -> float:
    """When a file was written last, in seconds since the epoch; 0 where it cannot be told."""
    with suppress(OSError, ValueError):
        return Path(path).stat().st_mtime
    return 0.0


def source_findings(
    sources: Sequence[SignatureSource], now: float, written: Callable[[str], float] = file_time
) -> Iterator[Finding]:
    """Of each engine and directory: how many files, how old the newest, what is wrong in them."""
    groups: defaultdict[tuple[str, str], list[SignatureSource]] = defaultdict(list)
    for source in sources:
        groups[source.engine, str(Path(source.path).parent)].append(source)
    for (engine, directory), some in sorted(groups.items()):
        yield _group(engine, directory, some, (now, max(written(source.path) for source in some)))
    problems = [problem for source in sources for problem in source.problems]
    if problems:
        yield amiss(
            "signatures",
            f"{several(problems)}: mend them, then `svm signatures reload`; the others are in use",
        )


def _group(
    engine: str, directory: str, some: Sequence[SignatureSource], times: tuple[float, float]
) -> Finding:
    """times: now, and when the newest file was written."""
    count = sum(source.signatures for source in some)
    said = f"{len(some)} files in {directory}, {count:,} signatures"
    now, newest = times
    if Path(directory).is_relative_to(SHIPPED):
        return ok(f"{engine} signatures", f"{said}, which came with this version")
    if not newest:
        return note(f"{engine} signatures", f"{said}, whose age cannot be told")
    said += f", the newest file {long(max(0.0, now - newest))} old"
    if now - newest > NOTE_SECONDS:
        return note(f"{engine} signatures", f"{said}: bring newer ones, then `svm signatures reload`")
    return ok(f"{engine} signatures", said)
