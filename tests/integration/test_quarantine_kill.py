"""Whoever quarantines, deletes or restores is killed at every line of the code: the file is in one place or
in the other, or in both, and never in neither.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.apart import ROOT, environment
from tests.support.kill_quarantine import MODE

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root finds a file by its other names again")
FEWEST_STEPS = 100  # or the killing does not work


def kills(story: str, directory: Path) -> list[dict[str, Any]]:
    """What was found after each kill; the last one is the end without a kill."""
    command = [sys.executable, "-m", "tests.support.kill_quarantine", story, str(directory)]
    ended = subprocess.run(
        command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(found) > FEWEST_STEPS
    assert [kill["ended"] for kill in found] == [False] * (len(found) - 1) + [True]
    return found


def is_somewhere(state: dict[str, Any]) -> bool:
    """Whether the content is whole, in its place or in the quarantine, and nothing half-made is in either."""
    in_place = state["file"] is True
    return (in_place or True in state["sealed"]) and False not in state["sealed"]


def is_tidy(state: dict[str, Any]) -> bool:
    """Whether nothing is left beside the file or in the quarantine that belongs to neither."""
    return state["left"] == [] and set(state["kept"]) <= {"sealed"}


def test_a_file_on_its_way_into_the_quarantine(tmp_path: Path) -> None:
    """It is whole somewhere after every kill, tidied up by the next start, and comes back as it was."""
    for kill in kills("take", tmp_path):
        assert is_somewhere(kill["killed"]), kill
        assert kill["killed"]["file"] is not False, kill
        assert is_somewhere(kill["tidied"]), kill
        assert is_tidy(kill["tidied"]), kill
        assert (kill["restored"]["file"], kill["restored"]["mode"]) == (True, MODE), kill


@as_root
def test_a_file_with_another_name_on_its_way_into_the_quarantine(tmp_path: Path) -> None:
    """The same; the other name is whole or empty, and whole again when the file came back to it."""
    for kill in kills("take-linked", tmp_path):
        for state in (kill["killed"], kill["tidied"]):
            assert is_somewhere(state), kill
            assert state["other"] in ("whole", "empty"), kill
        assert is_tidy(kill["tidied"]), kill
        assert (kill["restored"]["file"], kill["restored"]["other"]) == (True, "whole"), kill
        assert kill["restored"]["same"], kill


@pytest.mark.parametrize("story", ["delete", "delete-linked"])
def test_a_file_that_is_deleted(tmp_path: Path, story: str) -> None:
    """It is there as it was or it is gone, and nothing of it is left once the next start has tidied up."""
    found = kills(story, tmp_path)
    for kill in found:
        assert kill["tidied"]["file"] in (True, None), kill
        assert is_tidy(kill["tidied"]), kill
        assert kill["tidied"]["other"] == (None if story == "delete" else kill["tidied"]["other"]), kill
    assert found[-1]["tidied"]["file"] is None
    assert found[-1]["tidied"]["other"] in (None, "empty")


@pytest.mark.parametrize("story", ["restore", pytest.param("restore-linked", marks=as_root)])
def test_a_file_on_its_way_back(tmp_path: Path, story: str) -> None:
    """It is whole in its place with all that it was, or in the quarantine, and a second restore works."""
    for kill in kills(story, tmp_path):
        for state in (kill["killed"], kill["tidied"]):
            assert is_somewhere(state), kill
            assert state["mode"] in (None, MODE), kill
        assert is_tidy(kill["tidied"]), kill
        assert (kill["restored"]["file"], kill["restored"]["mode"]) == (True, MODE), kill
        if story.endswith("linked"):
            assert (kill["restored"]["other"], kill["restored"]["same"]) == ("whole", True), kill
