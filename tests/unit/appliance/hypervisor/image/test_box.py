"""A disk becomes a box of Vagrant; test_lab_files has Vagrant take one."""

import io
import json
import tarfile
from pathlib import Path

from appliance.hypervisor.image.box import INSECURE_KEY, make_box, wanted_for_box
from tests.support.deployments import disk


def test_a_box_is_a_tar_of_three_files_by_its_content(tmp_path: Path) -> None:
    """As vagrant-libvirt wants it; the same disk gives the same box, another one another name."""
    image = disk(tmp_path / "image.qcow2", b"system")
    box = make_box("guest", image, tmp_path, epoch=5)
    before = box.read_bytes()
    box.unlink()
    assert make_box("guest", image, tmp_path, epoch=5).read_bytes() == before
    with tarfile.open(fileobj=io.BytesIO(before)) as tar:
        assert tar.getnames() == ["metadata.json", "Vagrantfile", "box.img"]
        metadata = json.load(tar.extractfile("metadata.json") or io.BytesIO())
        assert (tar.extractfile("box.img") or io.BytesIO()).read() == image.read_bytes()
    assert metadata == {"provider": "libvirt", "format": "qcow2", "virtual_size": 1}
    other = make_box("guest", disk(tmp_path / "other.qcow2", b"another"), tmp_path, epoch=5)
    assert other != box
    assert {path.suffix for path in tmp_path.iterdir()} == {".qcow2", ".box"}


def test_who_vagrant_comes_as_may_do_everything() -> None:
    """The user vagrant, by the key that Vagrant has, and sudo without a password."""
    wanted = wanted_for_box("guest", 512)
    assert wanted.packages == "lab"
    assert wanted.access.keys == {"vagrant": INSECURE_KEY}
    assert wanted.extra == {"/etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n"}
