"""Engines, the age of their signatures, and what is wrong in them."""

import os
from pathlib import Path

import pytest

from appliance.doctor.findings import DAY
from appliance.doctor.signatures import SHIPPED, clamd_finding, engine_findings, source_findings
from appliance.scanning.result import EngineState, SignatureSource

NOW = 1_900_000_000.0  # Sun Mar 17 17:46:40 2030


def test_engines_that_are_not_ready_are_amiss() -> None:
    """With their own sentence."""
    engines = [EngineState("yara", "1.23", True, "", 5849), EngineState("clamd", "", False, "start clamd")]
    yara, clamd = engine_findings(engines, NOW)
    assert (yara.good, yara.said) == (True, "ready, 5,849 signatures")
    assert (clamd.good, clamd.what, clamd.said) == (False, "engine clamd", "start clamd")


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("ClamAV 1.4.3/27700/Sun Mar 17 08:35:11 2030", True),
        ("ClamAV 1.4.3/27700/Wed Mar 13 08:35:11 2030", None),
        ("ClamAV 1.4.3/27700/Wed Mar  6 08:35:11 2030", False),
        ("ClamAV 1.4.3", None),
        ("ClamAV 1.4.3/27700/yesterday", None),
    ],
)
def test_clamd_says_how_old_its_signatures_are(version: str, good: bool | None) -> None:
    """Over 3 days is to be known, over 7 amiss, and so that it does not say."""
    assert clamd_finding(version, NOW).good is good
    (found,) = engine_findings([EngineState("clamd", version, True)], NOW)
    assert found.good is good


def test_sources_are_told_by_directory_with_the_age_of_the_newest(tmp_path: Path) -> None:
    """Those that came with the program have no age that matters."""
    for name, days in (("old.yar", 50), ("new.yar", 3), ("list.txt", 40)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (NOW - days * DAY,) * 2)
    sources = [
        SignatureSource("yara", str(tmp_path / "old.yar"), 2),
        SignatureSource("yara", str(tmp_path / "new.yar"), 3),
        SignatureSource("hashlist", str(tmp_path / "list.txt"), 4),
        SignatureSource("yara", str(SHIPPED / "yara/x.yar"), 5),
        SignatureSource("", "and 7 more files", 6),
    ]
    found = {(each.what, each.said): each.good for each in source_findings(sources, NOW)}
    shipped = f"1 files in {SHIPPED}/yara, 5 signatures, which came with this version"
    assert found == {
        ("yara signatures", f"2 files in {tmp_path}, 5 signatures, the newest file 3 days old"): True,
        (
            "hashlist signatures",
            f"1 files in {tmp_path}, 4 signatures, the newest file 40 days old: bring newer ones, then "
            "`svm signatures reload`",
        ): None,
        ("yara signatures", shipped): True,
        (" signatures", "1 files in ., 6 signatures, whose age cannot be told"): None,
    }


def test_problems_of_sources_are_amiss() -> None:
    """The first few are named."""
    problems = tuple(f"/rules/bad.yar:{line}: syntax" for line in range(1, 9))
    found = list(source_findings([SignatureSource("yara", "/rules/bad.yar", 0, problems)], NOW))
    assert [each.good for each in found] == [None, False]
    assert found[1].said.startswith("/rules/bad.yar:1: syntax, ")
    assert "and 3 more" in found[1].said
