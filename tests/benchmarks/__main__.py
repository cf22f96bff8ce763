"""`python -m tests.benchmarks [--only NAME]... [--short] [--out bench.json]`."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.harness import Bench, BenchError, Figure, Row
from tests.benchmarks.processes import adopt_orphans
from tests.benchmarks.rows import ROWS


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write bench.json; 0 when every row could be measured, met or not."""
    options = _parser().parse_args(arguments)
    chosen = [row for row in ROWS if options.only is None or row.name in options.only]
    adopt_orphans()
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="kvmla-bench-", dir=options.scratch) as scratch:
        shared = Path(scratch, "shared")
        shared.mkdir()
        for row in chosen:
            _measure(row, Path(scratch), options.short, (figures, failures))
            report.write(options.out, figures, failures, options.short)  # what is measured is kept
    print(report.table(figures, options.short))
    for name, why in failures.items():
        print(f"{name}: could not be measured: {why}", file=sys.stderr)
    return 1 if failures else 0


def _measure(row: Row, scratch: Path, short: bool, into: tuple[list[Figure], dict[str, str]]) -> None:
    """Run one row in a directory of its own; keep its figures, or why there are none."""
    figures, failures = into
    _say(f"{row.name} ...")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=scratch) as own:
        try:
            figures.extend(row.run(Bench(short, Path(own), scratch / "shared", _say)))
        except BenchError as error:
            failures[row.name] = str(error)
    _say(f"  {time.monotonic() - began:.0f} s")


def _say(line: str) -> None:
    """Show progress beside the report."""
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=[row.name for row in ROWS],
        help="measure this row only; may be repeated",
    )
    parser.add_argument(
        "--short", action="store_true", help="small data: shows that the rows run, measures nothing"
    )
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="where the report goes")
    parser.add_argument(
        "--scratch", type=Path, help="where data goes, some 4 GB; default: the temporary directory"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
