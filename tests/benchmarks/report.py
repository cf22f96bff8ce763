"""The table for people and bench.json for programs."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import BenchError, Figure
from tests.benchmarks.theirs import program

COLUMNS = ("figure", "ours", "theirs", "ratio", "target", "met")
LIBRARIES = (
    "kvm-light-agent",
    "grpcio",
    "protobuf",
    "lmdb",
    "yara-x",
    "libarchive-c",
    "aiohttp",
    "redis",
    "hiredis",
)
PROGRAMS = {"redis-server": ("--version",), "clamd": ("--version",), "bwrap": ("--version",)}


def row(figure: Figure, short: bool) -> dict[str, Any]:
    """Return a line of bench.json. In a short run nothing is said to be met or missed."""
    return {
        "figure": figure.name,
        "unit": figure.unit,
        "ours": figure.rounds.our_median,
        "theirs": figure.rounds.their_median,
        "ratio": figure.ratio,
        "target": None if figure.target is None else str(figure.target),
        "met": None if short else figure.met,
        "rounds": {"ours": figure.rounds.ours, "theirs": figure.rounds.theirs},
        "note": figure.note,
    }


def write(path: Path, figures: Sequence[Figure], failures: dict[str, str], short: bool) -> None:
    """Write bench.json. failures: name of each row that could not be measured, and why."""
    document = {
        "short": short,
        "machine": machine(),
        "versions": versions(),
        "rows": [row(figure, short) for figure in figures],
        "failures": failures,
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def table(figures: Sequence[Figure], short: bool) -> str:
    """Return the figures as columns."""
    lines = [COLUMNS]
    for figure in figures:
        theirs, ratio = figure.rounds.their_median, figure.ratio
        met = "-" if short or figure.met is None else ("yes" if figure.met else "NO")
        lines.append(
            (
                figure.name,
                _number(figure.rounds.our_median, figure.unit),
                "-" if theirs is None else _number(theirs, figure.unit),
                "-" if ratio is None else f"{ratio:.2f}",
                _target(figure),
                met,
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _target(figure: Figure) -> str:
    """Return the target, with a unit where it is our value's own."""
    if figure.target is None:
        return "-"
    return f"{figure.target} {figure.unit}" if figure.target.absolute else str(figure.target)


def _number(value: float, unit: str) -> str:
    """Return a number with its unit, in as many digits as mean something."""
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    models = [line.partition(":")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "cpu": models[0].strip() if models else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_mib": int(memory) // 1024,
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Return the versions of what was measured and of what it was measured against."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    for name, argument in PROGRAMS.items():
        try:
            said = subprocess.run(
                [program(name), *argument], capture_output=True, text=True, timeout=30, check=False
            )
            found[name] = said.stdout.strip().partition("\n")[0]
        except (BenchError, OSError):
            found[name] = "not installed"
    return found


def _lines(path: str) -> list[str]:
    """Return the lines of a file under /proc."""
    return Path(path).read_text().splitlines()
