"""Images, looked at before anything is made."""

import os
import subprocess
from pathlib import Path

import pytest

from appliance.hypervisor.deploy import images
from appliance.hypervisor.deploy.deployment import BadDeployment
from tests.support.deployments import disk
from tests.support.encrypted import mark_encrypted


def qemu_img(*words: object) -> None:
    """Make an image."""
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True)


def test_an_image_is_named_by_its_content(tmp_path: Path) -> None:
    """The same file is the same volume, another one is another."""
    one = images.system(disk(tmp_path / "1.qcow2", b"1"))
    again = images.system(disk(tmp_path / "2.qcow2", b"1"))
    other = images.system(disk(tmp_path / "3.qcow2", b"3"))
    assert one.name == again.name != other.name
    assert one.size == (tmp_path / "1.qcow2").stat().st_size
    with one.open() as content:
        assert content.read() == (tmp_path / "1.qcow2").read_bytes()


def test_an_image_that_is_damaged_is_refused(tmp_path: Path) -> None:
    """Its tables lead out of it."""
    path = disk(tmp_path / "a.qcow2", b"1")
    with path.open("r+b") as file:
        file.seek(0x30000)  # the first table of clusters of an image of this size
        file.write(b"\x80\x00\x00\xff\xff\xff\xfe\x00" * 16)
    with pytest.raises(BadDeployment, match=r"a.qcow2 is damaged, or no qcow2 image"):
        images.system(path)


def test_what_is_no_qcow2_is_refused(tmp_path: Path) -> None:
    """It is not guessed at."""
    (tmp_path / "a").write_bytes(b"\0" * 4096)
    with pytest.raises(BadDeployment, match="is damaged, or no qcow2 image"):
        images.system(tmp_path / "a")


def test_one_that_is_encrypted_is_refused(tmp_path: Path) -> None:
    """Nobody is there to type its password."""
    path = disk(tmp_path / "a.qcow2")
    mark_encrypted(path)
    with pytest.raises(BadDeployment, match="is encrypted"):
        images.system(path)


def test_one_that_needs_another_file_is_refused(tmp_path: Path) -> None:
    """Also where that one is itself: a loop is not followed."""
    base = disk(tmp_path / "base.qcow2")
    over = tmp_path / "over.qcow2"
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", base, over)
    with pytest.raises(BadDeployment, match="needs another file beside it"):
        images.system(over)
    qemu_img("rebase", "-u", "-F", "qcow2", "-b", over, over)
    with pytest.raises(BadDeployment, match=r"over\.qcow2"):
        images.system(over)


def test_a_disk_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Whoever made it made something else."""
    path = tmp_path / "a.qcow2"
    qemu_img("create", "-f", "qcow2", path, "2T")
    with pytest.raises(BadDeployment, match="a disk of more than"):
        images.system(path)


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    """With what makes them."""
    for look in (images.system, images.kernel, images.initrd):
        with pytest.raises(BadDeployment, match="is not there, or no file"):
            look(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(BadDeployment, match="has 0 bytes"):
        images.initrd(tmp_path / "empty")


def test_a_kernel_is_one_of_linux(tmp_path: Path) -> None:
    """As a bzImage."""
    path = tmp_path / "vmlinuz"
    path.write_bytes(b"\0" * 4096)
    with pytest.raises(BadDeployment, match="is no kernel of Linux"):
        images.kernel(path)
    path.write_bytes(b"\0" * 0x202 + b"HdrS" + b"\0" * 4096)
    assert images.kernel(path).name.startswith("svm-kernel-")


def test_without_qemu_img_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the package."""
    path = disk(tmp_path / "a.qcow2")
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(BadDeployment, match="install qemu-utils"):
        images.system(path)
