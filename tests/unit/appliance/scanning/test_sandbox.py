"""Tests of appliance/scanning/sandbox.py; tests/integration/test_sandbox.py looks at it from inside."""

import logging
import os
import subprocess
from pathlib import Path

import pytest

from appliance.scanning.sandbox import UNSANDBOXED, Sandbox, SandboxUnavailable, unusable
from tests.support.scanning import sandbox, worker_runtime


def inside(walls: Sandbox, code: str, *readable: Path) -> str:
    """What Python prints in the sandbox."""
    command = walls.command(readable)
    command[command.index("-m") :] = ["-c", code]
    done = subprocess.run(
        command, env=walls.runtime.environment, capture_output=True, check=True, text=True, timeout=30
    )
    return done.stdout


def test_without_bubblewrap_it_refuses() -> None:
    """The message says both ways out, the second in the very words of the configuration."""
    with pytest.raises(SandboxUnavailable) as caught:
        Sandbox.find("bubblewrap", worker_runtime(), which=lambda name: None)
    assert str(caught.value) == (
        "bubblewrap (bwrap) is not installed: install bubblewrap, "
        'or set scanning.sandbox = "none-i-accept-the-risk"'
    )


def test_a_bubblewrap_that_fails_is_quoted() -> None:
    """What it said stands in the error, with the ways out."""
    error = unusable("bwrap: No permissions to create new namespace")
    assert "No permissions to create new namespace" in str(error)
    assert UNSANDBOXED in str(error)


def test_without_a_sandbox_there_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Each start without walls is in the log."""
    with caplog.at_level(logging.WARNING):
        bare = Sandbox.find(UNSANDBOXED, worker_runtime())
    assert "without a sandbox" in caplog.text
    assert not bare.walled
    assert bare.command([]) == list(worker_runtime().command)


def test_directories_are_shown_under_their_own_names(tmp_path: Path) -> None:
    """What a worker may read is there, read-only, and nothing beside it is."""
    rules, beside = tmp_path / "rules", tmp_path / "beside"
    rules.mkdir()
    beside.mkdir()
    (rules / "a.yar").write_text("rule")
    code = f"""
import os
print(os.listdir({os.fspath(tmp_path)!r}), open({os.fspath(rules / "a.yar")!r}).read())
try:
    open({os.fspath(rules / "b.yar")!r}, "w")
except OSError as error:
    print(error.strerror)
"""
    said = inside(sandbox(), code, rules, tmp_path / "missing")
    assert said == "['rules'] rule\nRead-only file system\n"
