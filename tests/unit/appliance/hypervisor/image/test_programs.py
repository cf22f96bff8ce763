"""Our programs in an image."""

from pathlib import Path

import pytest

from appliance.hypervisor.image import programs
from appliance.hypervisor.image.programs import SITE, add_programs
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


def test_a_package_that_is_not_here_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    with pytest.raises(ImageError, match="kvmla_none is not here: install kvm-light-agent whole"):
        tree_with(tmp_path, monkeypatch, ("kvmla_none",))
