"""Reading anew what an operator may have changed; how KSN is asked then: tests/integration/test_ksn.py."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from appliance.config import KsnSettings
from appliance.reloading import reload_all
from appliance.scanning.scanner import ReloadFailed, Scanner
from tests.support.svm import Svm, running_svm

KSN = KsnSettings(enabled=True, type="private", endpoint="https://ksn.example.com/api/v1/")


async def reload(svm: Svm) -> tuple[str, list[Any]]:
    """What is returned and what is logged."""
    parts = svm.parts
    with capture_logs() as lines:
        said = await reload_all(parts.scanner, parts.web.lists, parts.ksn.key)
    return said, [line for line in lines if "KSN" in line["event"] or "signatures" in line["event"]]


async def test_the_key_is_read_and_one_line_says_so(tmp_path: Path) -> None:
    """Whether it was changed, and whether KSN is asked again by that; the key itself is not in it."""
    key = tmp_path / "key"
    key.write_text("one")
    async with running_svm(tmp_path, ksn=replace(KSN, api_key_file=key)) as svm:
        key.write_text("another")
        said, lines = await reload(svm)
        assert said == ""
        event = {"event": "API key of KSN read", "log_level": "info"}
        assert lines == [{**event, "changed": True, "asked_again": True}]
        assert (await reload(svm))[1] == [{**event, "changed": False, "asked_again": False}]


async def test_a_key_that_cannot_be_read_is_told_to_both(tmp_path: Path) -> None:
    """To the log, and to who asked for it."""
    key = tmp_path / "key"
    key.write_text("one")
    async with running_svm(tmp_path, ksn=replace(KSN, api_key_file=key)) as svm:
        key.unlink()
        said, lines = await reload(svm)
        assert "cannot be read" in said
        assert lines == [{"event": "the old API key of KSN stays in use", "log_level": "error", "why": said}]


async def test_signatures_that_cannot_be_loaded_are_in_nobody_elses_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is read all the same."""

    async def fails(_scanner: Scanner) -> None:
        raise ReloadFailed("no source can be loaded")

    monkeypatch.setattr(Scanner, "reload", fails)
    async with running_svm(tmp_path, ksn=KSN) as svm:
        said, lines = await reload(svm)
        assert said == "no source can be loaded"
        assert [line["event"] for line in lines] == [
            "reload failed, the old signatures stay in use",
            "API key of KSN read",
        ]


async def test_without_ksn_there_is_no_key(tmp_path: Path) -> None:
    """And no line of it."""
    async with running_svm(tmp_path) as svm:
        assert await reload(svm) == ("", [])
