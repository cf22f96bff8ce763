"""The first file system of the kernel, unpacked by cpio."""

import gzip
import subprocess
from pathlib import Path

from appliance.hypervisor.image.initramfs import Module, initramfs

MODULES = [Module("b.ko", b"second needs first"), Module("a.ko", b"first")]


def test_cpio_unpacks_what_was_packed(tmp_path: Path) -> None:
    """With the modules in the order in which they are to be loaded, and a script that can be run."""
    packed = gzip.decompress(initramfs(b"busybox", MODULES, "my-root"))
    subprocess.run(["cpio", "-i", "--quiet"], input=packed, check=True, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "bin/busybox").read_bytes() == b"busybox"
    assert (tmp_path / "modules/order").read_text() == "b.ko\na.ko\n"
    assert (tmp_path / "modules/a.ko").read_bytes() == b"first"
    init = tmp_path / "init"
    assert init.stat().st_mode & 0o111
    assert "findfs LABEL=my-root" in init.read_text()
    subprocess.run(["sh", "-n", init], check=True)


def test_the_same_parts_give_the_same_bytes() -> None:
    """No time and no number of this machine is in it."""
    assert initramfs(b"busybox", MODULES, "root") == initramfs(b"busybox", MODULES, "root")
