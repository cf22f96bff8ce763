"""svm-host image; what it makes is in tests/real_vms/test_images_boot.py."""

import os
import signal
from pathlib import Path

import pytest

from appliance.hypervisor.image.building import Wanted, Workshop
from tests.unit.appliance.hypervisor.cli.test_vms import svm_host


def build(directory: Path, *words: str) -> str:
    """What it complains of."""
    output = ("--output", str(directory / "a.qcow2"))
    code, out, err = svm_host("image", "build", "svm", *output, *words)
    assert (code, out) == (2, "")
    assert not (directory / "a.qcow2").exists()
    return err


def test_a_size_out_of_range_is_refused(tmp_path: Path) -> None:
    """With the range."""
    assert "--size is 5: give 512 to 65536 MiB" in build(tmp_path, "--size", "5")


def test_a_directory_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    """Not after minutes."""
    assert "is no directory: make it first" in build(tmp_path / "none")


def test_a_lock_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    """With who writes one."""
    (tmp_path / "lock").write_text("{}")
    assert "is no lock of images" in build(tmp_path, "--lock", str(tmp_path / "lock"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("alice.pub", "names no user: give USER=FILE"),
        ("svm=alice.pub", "cannot be a user"),
        ("alice=/none.pub", "/none.pub: No such file"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(tmp_path: Path, given: str, said: str) -> None:
    """Before anything is made."""
    assert said in build(tmp_path, "--ssh-key", given)


def test_a_lock_that_cannot_be_made_leaves_the_one_before(tmp_path: Path) -> None:
    """Here the source tree is none."""
    file = tmp_path / "image.lock"
    file.write_text("before")
    words = ("--output", str(file), "--source", str(tmp_path), "--cache", str(tmp_path / "cache"))
    code, _, err = svm_host("image", "lock", *words)
    assert code == 2
    assert "name the source tree by --source" in err
    assert file.read_text() == "before"


def test_sigterm_ends_a_build_as_ctrl_c_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what it works with is taken away; it says that there is no image."""

    def disk(_workshop: Workshop, _wanted: Wanted, _file: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Workshop, "disk", disk)
    output = tmp_path / "a.qcow2"
    code, out, err = svm_host("image", "build", "svm", "--output", str(output))
    assert (code, out, err) == (130, "", f"svm-host: interrupted: {output} is as it was before\n")
