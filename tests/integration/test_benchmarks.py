"""The benchmarks run, and their report has what it promises. Never: how fast anything is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.harness import Figure, Rounds, Target
from tests.benchmarks.report import COLUMNS, row, table
from tests.benchmarks.rows import ROWS

ROOT = Path(__file__).parents[2]
FAST = (
    "known-digests-vs-lmdb",
    "single-digest-p50",
    "rescan-unchanged",
    "ten-guests-engine-bytes",
    "svm-memory",
    "ksn-lookups",
    "ksn-answer-p99-dead",
    "private-ksn",
    "revocation",
    "image-scan",
    "crowd",
    "crowd-tls",
    "reconnects",
)
FIGURES = [  # of them, in order
    *FAST[:5],
    "svm-bytes-a-verdict",
    "ksn-lookups-cold",
    "ksn-lookups-cached",
    FAST[6],
    "private-ksn-import",
    "private-ksn-answers",
    "revocation-last",
    "revocation-p50",
    "image-scan",
    "image-scan-first",
    "crowd-p99",
    "crowd-p50",
    "crowd-tls-p99",
    "crowd-tls-p50",
    "svm-memory-reconnects",
    "svm-sockets-reconnects",
]
DEADLINE = 300


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """bench.json of a short run of the fast rows, and what was printed."""
    report = tmp_path_factory.mktemp("bench") / "bench.json"
    only = [word for name in FAST for word in ("--only", name)]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--short", "--out", str(report), *only],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(report.read_text()), ended.stdout


def test_a_report_has_a_line_for_each_figure_with_every_column(run: tuple[dict[str, Any], str]) -> None:
    """Each figure of the rows that were asked for stands in bench.json with all columns, in order."""
    document, _ = run
    assert [line["figure"] for line in document["rows"]] == FIGURES
    assert all(set(COLUMNS) <= row.keys() for row in document["rows"])
    grown = ("svm-memory-reconnects", "svm-sockets-reconnects")  # which may be nothing
    assert all(row["ours"] > 0 for row in document["rows"] if row["figure"] not in grown)
    assert all(row["rounds"]["ours"] for row in document["rows"])
    assert document["failures"] == {}


def test_a_short_run_gives_no_verdict(run: tuple[dict[str, Any], str]) -> None:
    """Small data measures nothing, so nothing is called met or missed."""
    document, _ = run
    assert document["short"] is True
    assert {row["met"] for row in document["rows"]} == {None}


def test_a_report_names_machine_and_versions(run: tuple[dict[str, Any], str]) -> None:
    """A figure can be told from one that was taken elsewhere, or with another library."""
    document, _ = run
    assert document["machine"]["cpus"] == os.cpu_count()
    assert {"python", "grpcio", "lmdb", "yara-x"} <= document["versions"].keys()


def test_the_table_has_the_same_lines(run: tuple[dict[str, Any], str]) -> None:
    """What is printed has a heading and one line for each row of bench.json."""
    document, printed = run
    heading, *lines = printed.strip().splitlines()
    assert heading.split() == list(COLUMNS)
    assert [line.split()[0] for line in lines] == [line["figure"] for line in document["rows"]]


def test_contents_are_scanned_once_even_in_a_short_run(run: tuple[dict[str, Any], str]) -> None:
    """The one ratio that does not depend on the machine holds on small data too."""
    document, _ = run
    ratios = {row["figure"]: row["ratio"] for row in document["rows"]}
    assert ratios["ten-guests-engine-bytes"] == pytest.approx(1.0)


def test_an_unknown_row_is_refused() -> None:
    """A name that is no row's ends with exit code 2 and the names there are."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--only", "nothing"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 2
    assert all(row.name in ended.stderr for row in ROWS)


def test_what_takes_no_measurable_time_is_no_divisor() -> None:
    """CPU time is counted in ticks, and the other side of a short run may take none."""
    figure = Figure("name", "CPU s", Rounds((0.3,), (0.0,)), Target(1.4))
    assert figure.ratio is None
    assert not figure.met


def test_a_figure_without_a_target_is_neither_met_nor_missed() -> None:
    """It is there for information: no target in the report, and a dash in the table."""
    figure = Figure("name", "files/s", Rounds((3.0,)))
    assert figure.met is None
    assert (row(figure, short=False)["target"], row(figure, short=False)["met"]) == (None, None)
    assert table([figure], short=False).splitlines()[1].split() == [
        "name",
        "3",
        "files/s",
        "-",
        "-",
        "-",
        "-",
    ]
