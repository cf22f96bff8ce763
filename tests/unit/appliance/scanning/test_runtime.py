"""Tests of appliance/scanning/runtime.py."""

import ctypes.util
import os
import subprocess
from pathlib import Path

import pytest

from appliance.scanning import runtime
from appliance.scanning.runtime import RuntimeIncomplete, find_runtime, outermost


def test_the_runtime_is_enough_to_import_the_worker() -> None:
    """With its command and nothing but its environment, the worker's modules are found."""
    found = find_runtime()
    command = [
        *found.command[: found.command.index("-m")],
        "-c",
        "import appliance.scanning.worker, sys; print(*sys.path)",
    ]
    done = subprocess.run(
        command, env=found.environment, cwd="/", capture_output=True, check=True, text=True, timeout=30
    )
    assert str(Path.cwd()) in done.stdout or "site-packages" in done.stdout


def test_paths_exist_and_stand_beside_each_other() -> None:
    """Each is there, absolute, and none lies within another."""
    paths = find_runtime().paths
    assert all(path.is_absolute() and path.exists() for path in paths)
    assert not any(a != b and a.is_relative_to(b) for a in paths for b in paths)


def test_neither_the_tests_nor_the_repository_are_part_of_it() -> None:
    """Of an editable install only the package is shown, and not what lies beside it."""
    here = Path(__file__).resolve()
    assert not any(here.is_relative_to(path) for path in find_runtime().paths)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setattr(runtime, "_LIBRARIES", ("no_such_library",))
    with pytest.raises(RuntimeIncomplete, match=r"no_such_library is not installed: install kvm-light-agent"):
        find_runtime()


def test_a_missing_libarchive_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a system library, so the message names Debian's package."""
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(RuntimeIncomplete, match="libarchive13"):
        find_runtime()


def test_outermost_keeps_one_of_each_branch(tmp_path: Path) -> None:
    """What is within another, missing or named twice is left out."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    other = tmp_path / "ab"
    other.mkdir()
    kept = outermost([inner, tmp_path / "a", other, other, tmp_path / "missing"])
    assert set(kept) == {tmp_path / "a", other}
    assert os.fspath(kept[0])
