"""ext4 from a tree, read again by e2fsprogs."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from appliance.hypervisor.image.filesystem import Ext4
from appliance.hypervisor.image.running import ImageError
from appliance.hypervisor.image.tree import Tree

UUID = "6b766d6c-6130-4000-8000-000000000001"


def sample() -> Tree:
    """Of all that a root file system has."""
    tree = Tree(1_700_000_000)
    tree.add_text('/etc/with "quotes" and blanks', "text", 0o640, 3)
    tree.add_text("/usr/bin/large", "0123456789abcdef" * 100_000, 0o755)
    tree.add_link("/bin", "usr/bin")
    tree.add_directory("/var/empty", 0o700, 70_000, 70_000)
    return tree


def made(directory: Path, tree: Tree, mib: int = 32) -> Path:
    """The file with it."""
    (directory / "scratch").mkdir(parents=True)
    file = directory / "root.ext4"
    Ext4("kvmla-root", UUID, mib).make(tree, file, directory / "scratch")
    return file


def debugfs(file: Path, request: str) -> str:
    """What debugfs says."""
    return subprocess.run(["debugfs", "-R", request, file], check=True, capture_output=True, text=True).stdout


def test_what_is_in_the_tree_is_in_the_file_system(tmp_path: Path) -> None:
    """Contents, rights, owners, links; and e2fsck finds nothing to mend."""
    file = made(tmp_path, sample())
    assert debugfs(file, "cat /usr/bin/large") == "0123456789abcdef" * 100_000
    told = debugfs(file, 'stat "/etc/with ""quotes"" and blanks"')
    assert all(word in told for word in ("Mode:  0640", "User:     3", "-- Tue Nov 14"))
    assert "User: 70000   Group: 70000" in debugfs(file, "stat /var/empty")
    assert 'Fast link dest: "usr/bin"' in debugfs(file, "stat /bin")
    subprocess.run(["e2fsck", "-fn", file], check=True, capture_output=True)


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whenever, and in whatever order it was entered."""
    backwards = Tree(1_700_000_000, dict(reversed(sample().entries.items())))
    files = [made(tmp_path / "a", sample()), made(tmp_path / "b", backwards)]
    assert len({hashlib.sha256(file.read_bytes()).hexdigest() for file in files}) == 1


def test_a_file_system_that_is_too_small_is_a_sentence(tmp_path: Path) -> None:
    """It says which option makes it larger."""
    tree = Tree(0)
    tree.add_text("/large", "0123456789abcdef" * 2_000_000)
    with pytest.raises(ImageError, match="24 MiB are too little for all that is in it: give a larger --size"):
        made(tmp_path, tree, 24)


def test_a_name_over_two_lines_is_refused(tmp_path: Path) -> None:
    """debugfs reads an order a line: the rest of the name would be another one."""
    tree = Tree(0)
    tree.add_text("/a\nrm b", "")
    with pytest.raises(ImageError, match="cannot be named"):
        made(tmp_path, tree)
