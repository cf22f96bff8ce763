"""The mark of tests that watch files: they are not left out without a word."""

import os
import subprocess
import sys

import pytest

from tests.support.apart import ROOT, environment
from tests.support.on_access_apart import REQUIRED

WITHOUT = ("setpriv", "--bounding-set=-sys_admin", "--")
IMPORTS = "from tests.support.on_access_apart import watching; print(watching.args[0])"


def imported(**more: str) -> "subprocess.CompletedProcess[str]":
    """What comes of using the mark without the right to watch files."""
    environ = {name: value for name, value in environment().items() if name != REQUIRED}
    return subprocess.run(
        [*WITHOUT, sys.executable, "-c", IMPORTS], env=environ | more, cwd=ROOT, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="rights are given up by root only")
def test_without_the_right_to_watch_files_tests_are_skipped_unless_they_must_not_be() -> None:
    """As in CI, where that is a failure which says what to do."""
    assert imported().stdout == "True\n"
    failed = imported(**{REQUIRED: "1"})
    assert failed.returncode == 1
    assert "run the tests as root with CAP_SYS_ADMIN" in failed.stderr


def test_ci_is_such_a_place() -> None:
    """Its command says so before any test."""
    commands = (ROOT / ".ci/run").read_text()
    assert commands.index(f"export {REQUIRED}=1\n") < commands.index("make ")
