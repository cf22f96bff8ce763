"""Putting together scans of whole guests."""

from pathlib import Path

import pytest

from appliance.config_scans import ScansSettings
from tests.support.svm import running_svm


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        (ScansSettings(), 2),
        (ScansSettings(least_slots=5), 5),
        (ScansSettings(slots=7), 7),
        (ScansSettings(slots=1, least_slots=0), 1),
    ],
)
async def test_slots_follow_the_settings(tmp_path: Path, settings: ScansSettings, most: int) -> None:
    """Where none are set, twice as many as there are workers, of which this SVM has one."""
    async with running_svm(tmp_path, scans=settings, proc=tmp_path) as svm:
        figures = svm.parts.scans.figures()
    assert (figures["scan_slots"], figures["scan_slots_most"]) == (most, most)
