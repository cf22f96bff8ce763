"""Our programs in an image."""

import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.hypervisor.image import programs
from appliance.hypervisor.image.programs import SITE, add_programs, trust_compiled
from appliance.hypervisor.image.running import ImageError
from appliance.hypervisor.image.tree import Tree


def tree_with(directory: Path, monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...]) -> Tree:
    """Without an image's Python in it, nothing can be compiled: that is tested where images are booted."""
    monkeypatch.setattr(programs, "_compile", lambda tree, site, scratch: None)
    tree = Tree(0)
    add_programs(tree, packages, {"svm": "appliance.__main__"}, [], directory)
    return tree


def test_what_runs_here_is_what_is_in_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its data, without what Python has compiled here, and without the room that is left out."""
    tree = tree_with(tmp_path, monkeypatch, ("appliance!hypervisor", "lightagent"))
    names = {str(path).removeprefix(f"{SITE}/") for path in tree.entries}
    assert {"appliance/__main__.py", "appliance/svm.example.toml", "lightagent/v1/guest_pb2.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("appliance/hypervisor")]


def test_a_program_is_a_script_that_calls_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody may run it, nobody but root change it."""
    tree = tree_with(tmp_path, monkeypatch, ("lightagent",))
    assert "from appliance.__main__ import main" in tree.text("/usr/bin/svm")
    assert {path.name: entry.mode & 0o777 for path, entry in tree.entries.items()}["svm"] == 0o755


def test_what_debian_has_compiled_is_taken_as_it_is(tmp_path: Path) -> None:
    """Python itself imports it, though the source beside it is another by now."""
    source = tmp_path / "kvmla_tried.py"
    source.write_text("X = 1\n")
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    compiled = Path(py_compile.compile(str(source), invalidation_mode=checked, doraise=True) or "")
    tree = Tree(0)
    tree.add_files("/site", tmp_path)
    trust_compiled(tree)
    source.write_text("X = 2\n")
    compiled.write_bytes(tree.content(f"/site/__pycache__/{compiled.name}"))
    words = [sys.executable, "-c", "import kvmla_tried; print(kvmla_tried.X)"]
    ran = subprocess.run(words, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout == "1\n"


def test_a_package_that_is_not_here_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    with pytest.raises(ImageError, match="kvmla_none is not here: install kvm-light-agent whole"):
        tree_with(tmp_path, monkeypatch, ("kvmla_none",))
