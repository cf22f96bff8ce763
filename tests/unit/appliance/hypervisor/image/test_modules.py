"""A kernel and its modules."""

import subprocess
from pathlib import Path

import pytest

from appliance.hypervisor.image import modules
from appliance.hypervisor.image.modules import Kernel, unpack_kernel
from appliance.hypervisor.image.running import ImageError

DEPENDENCIES = """kernel/block.ko: kernel/virtio.ko kernel/ring.ko
kernel/virtio.ko: kernel/ring.ko
kernel/ring.ko:
kernel/virtio-net.ko: kernel/virtio.ko kernel/ring.ko
"""


def kernel(directory: Path) -> Kernel:
    """One with four modules, and one built in."""
    found = Kernel("6.1", directory)
    (found.modules / "kernel").mkdir(parents=True)
    (found.modules / "modules.dep").write_text(DEPENDENCIES)
    (found.modules / "modules.builtin").write_text("kernel/ext4.ko\n")
    for name in ("block", "virtio", "ring", "virtio-net"):
        (found.modules / "kernel" / f"{name}.ko").write_text(name)
    return found


def test_what_others_need_comes_first_and_once(tmp_path: Path) -> None:
    """And what is built in needs no module; hyphen and underscore are one."""
    paths = kernel(tmp_path).with_needs(["block", "virtio_net", "ext4"])
    assert paths == ["kernel/ring.ko", "kernel/virtio.ko", "kernel/block.ko", "kernel/virtio-net.ko"]


def test_a_module_that_the_kernel_has_not_is_a_sentence(tmp_path: Path) -> None:
    """It names both."""
    with pytest.raises(ImageError, match=r"the kernel 6\.1 has no module nfs"):
        kernel(tmp_path).with_needs(["nfs"])


def test_the_first_modules_come_with_their_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of loading."""
    monkeypatch.setattr(modules, "EARLY", ("block",))
    assert [(module.name, module.content) for module in kernel(tmp_path).early()] == [
        ("ring.ko", b"ring"),
        ("virtio.ko", b"virtio"),
        ("block.ko", b"block"),
    ]


def test_a_package_without_a_kernel_is_refused(tmp_path: Path) -> None:
    """By its name."""
    root = tmp_path / "package"
    (root / "DEBIAN").mkdir(parents=True)
    control = "Package: none\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.invalid>\nDescription: none\n"
    (root / "DEBIAN/control").write_text(control)
    file = tmp_path / "none_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", root, file], check=True, capture_output=True)
    with pytest.raises(ImageError, match=r"none_1_all\.deb has no kernel in it"):
        unpack_kernel(file, tmp_path / "out")
